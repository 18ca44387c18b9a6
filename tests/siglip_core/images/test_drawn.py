"""Odd images whose right pixels are known, because the test has drawn them."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from PIL import ImageFile, PngImagePlugin

from siglip_core import ImageError, images
from tests.siglip_core.images import drawn

CASES = drawn.cases()


@pytest.mark.parametrize("name", CASES)
def test_the_picture_is_what_a_viewer_shows(name: str) -> None:
    data, right = CASES[name]
    pixels = images.read(data).upright
    assert pixels.shape == right.shape
    assert np.abs(pixels.astype(int) - right).max() <= 2  # rounding


def test_threads_do_not_disturb_each_other() -> None:
    cases = list(CASES.values()) * 2
    limit = PngImagePlugin.MAX_TEXT_CHUNK
    with ThreadPoolExecutor(8) as threads:
        pictures = list(threads.map(images.read, [data for data, _ in cases]))
    for picture, (_, right) in zip(pictures, cases, strict=True):
        assert np.abs(picture.upright.astype(int) - right).max() <= 2
    assert (limit, ImageFile.LOAD_TRUNCATED_IMAGES) == (PngImagePlugin.MAX_TEXT_CHUNK, False)


def large(samples: np.ndarray) -> np.ndarray:
    """OpenCV writes no small JPEG 2000."""
    return samples.repeat(4, axis=0).repeat(4, axis=1)


@pytest.mark.parametrize("channels", [3, 4])
def test_white_stays_white_in_jpeg_2000_of_16_bits(channels: int) -> None:
    deep = large(drawn.with_fourth(drawn.ALPHA).astype(np.uint16) * 257)
    deep[:8, :8, :3], deep[8:16, :8, :3] = 65535, 0
    deep[:16, :8, 3:] = 65535
    _, data = cv2.imencode(".jp2", deep[..., [2, 1, 0, 3][:channels]])
    seen = (deep >> 8).astype(np.uint8)
    right = drawn.on_white(seen[..., :3], seen[..., 3]) if channels == 4 else seen[..., :3]
    assert np.abs(images.read(data.tobytes()).upright.astype(int) - right).max() <= 2


def test_lossy_jpeg_2000_of_16_bits_is_refused_where_black_may_be_white() -> None:
    """Pillow writes no lossy one of several deep components: the file of 8 bits says to have 16."""
    grey_only, dark = np.clip(drawn.RGB, 60, 190), drawn.RGB.copy()
    dark[:8, :8] = 0
    data, light = (
        drawn.of_depth(drawn.saved(pixels, "JPEG2000", no_jp2=True, irreversible=True), 16, 3)
        for pixels in (dark, grey_only)
    )
    assert np.abs(images.read(light).upright.astype(int) - grey_only).max() <= 2
    with pytest.raises(ImageError, match="lossy JPEG 2000") as caught:
        images.read(data)
    assert caught.value.reason == "decode"

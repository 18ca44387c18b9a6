"""HEIC and JPEG XL: read with the extras, and without them a reject that names the extra."""

import io
import sys
from pathlib import Path

import numpy as np
import pillow_heif
import pillow_jxl  # noqa: F401 - teaches Pillow to save JPEG XL
import pytest
from PIL import ExifTags, Image

from siglip_core import ImageError, images
from siglip_core.images import plugins
from tests.siglip_core.images import drawn

pillow_heif.register_heif_opener()  # to save with Pillow; our reader does without


def heic(pixels: drawn.Pixels, **options: object) -> bytes:
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(pixels)).save(
        file, quality=-1, chroma=444, matrix_coefficients=0, **options
    )
    return file.getvalue()


def jpeg_xl(pixels: drawn.Pixels, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JXL", **{"lossless": True, **options})
    return file.getvalue()


def sideways() -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    return exif.tobytes()


ALPHA = drawn.with_fourth(drawn.ALPHA)


@pytest.mark.parametrize(
    ("data", "right"),
    [
        (heic(drawn.RGB), drawn.RGB),
        (heic(ALPHA), drawn.on_white(drawn.RGB, drawn.ALPHA)),
        (jpeg_xl(drawn.RGB), drawn.RGB),
        (jpeg_xl(drawn.RGB, use_container=True), drawn.RGB),
        (jpeg_xl(ALPHA), drawn.on_white(drawn.RGB, drawn.ALPHA)),
        (jpeg_xl(drawn.GREY), drawn.grey(drawn.GREY)),
        (jpeg_xl(drawn.GREY.astype(np.uint16) * 257), drawn.grey(drawn.GREY)),
        # a JPEG XL has its orientation in its own header, which counts, and not in EXIF
        (jpeg_xl(drawn.RGB, exif=sideways()), drawn.RGB),
    ],
)
def test_pixels(data: bytes, right: drawn.Pixels) -> None:
    pixels = images.read(data).upright
    assert pixels.shape == right.shape
    assert np.abs(pixels.astype(int) - right).max() <= 2


def test_a_heic_is_turned_once() -> None:
    file = io.BytesIO()
    Image.fromarray(drawn.RGB).save(file, "HEIF", exif=sideways(), quality=-1, chroma=444, matrix_coefficients=0)
    np.testing.assert_allclose(images.read(file.getvalue()).upright, np.rot90(drawn.RGB, -1), atol=2)


def test_a_jpeg_that_was_packed_as_jpeg_xl_is_turned_by_its_exif(tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    Image.fromarray(drawn.RGB).save(photo, exif=sideways())
    file = io.BytesIO()
    with Image.open(photo) as image:
        image.save(file, "JXL", lossless_jpeg=True)
    right = images.read(photo.read_bytes()).upright
    np.testing.assert_array_equal(images.read(file.getvalue()).upright, right)
    assert right.shape == (drawn.WIDTH, drawn.HEIGHT, 3)


@pytest.mark.parametrize(
    ("module", "data", "message"),
    [
        ("pillow_heif", heic(drawn.RGB), r"HEIC needs the package pillow-heif; pip install 'siglane\[heif\]'"),
        (
            "pillow_jxl.JpegXLImagePlugin",
            jpeg_xl(drawn.RGB),
            r"JPEG XL needs the package pillow-jxl-plugin; pip install 'siglane\[jxl\]'",
        ),
    ],
)
def test_without_the_plugin_the_reject_names_the_extra(
    module: str, data: bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImageError, match=message) as caught:
        images.read(data)
    assert caught.value.reason == "decode"


@pytest.mark.parametrize("data", [heic(drawn.RGB), jpeg_xl(drawn.RGB)])
def test_a_bomb_is_refused_by_its_header(data: bytes) -> None:
    with pytest.raises(ImageError, match="24 x 18 pixels") as caught:
        images.read(data, max_pixels=24 * 18 - 1)
    assert caught.value.reason == "too-large"


@pytest.mark.parametrize("data", [heic(drawn.RGB), jpeg_xl(drawn.RGB)])
def test_a_part_of_a_file_is_refused(data: bytes) -> None:
    with pytest.raises(ImageError) as caught:
        images.read(data[: len(data) * 2 // 3])
    assert caught.value.reason == "decode"


@pytest.mark.parametrize(
    "size", [(1, 1), (8, 8), (24, 18), (257, 64), (300, 300), (640, 480), (1920, 1080), (2000, 1000), (9000, 3)]
)
def test_the_size_in_the_header_of_a_jpeg_xl(size: tuple[int, int]) -> None:
    pixels = np.zeros((*size[::-1], 3), np.uint8)
    assert plugins.jpeg_xl_size(jpeg_xl(pixels, effort=1)) == size
    assert plugins.jpeg_xl_size(jpeg_xl(pixels, effort=1, use_container=True)) == size

"""Single images of strangers: what kills or hangs the process that decodes them is refused, and the next is decoded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.stages.one_image import Decoder
from siglip_core.errors import ImageError
from siglip_core.preprocess import decode
from siglip_core.variants import Preprocessing
from tests.deadly_images import broken_decoder
from tests.samples import jpeg, large_png

SEEN = Preprocessing("hf-bicubic-aa", 32)
SABOTAGE = broken_decoder(
    "pipeline.stages.one_image",
    """
if b"FILL" in image:
    kept = [bytearray(64 << 20) for _ in range(1000)]
""",
)


@pytest.fixture
def fragile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Decoder]:
    """A decoder whose process some images kill."""
    (tmp_path / "sitecustomize.py").write_text(SABOTAGE)
    monkeypatch.syspath_prepend(tmp_path)
    decoder = Decoder(SEEN, 1_000_000, seconds=5, memory=256 << 20)
    yield decoder
    decoder.end()


def test_images_are_decoded_as_elsewhere(fragile: Decoder) -> None:
    for number in range(3):
        np.testing.assert_array_equal(fragile.decode(jpeg(number)), decode(jpeg(number), SEEN).pixels)


def test_what_is_no_image_is_refused_as_elsewhere(fragile: Decoder) -> None:
    with pytest.raises(ImageError, match="not an image") as found:
        fragile.decode(b"no image")
    assert found.value.reason == "decode"
    with pytest.raises(ImageError, match="above the limit of 1000000") as found:
        fragile.decode(large_png(2_000))
    assert found.value.reason == "too-large"
    with pytest.raises(ImageError):
        fragile.decode(b"")


@pytest.mark.parametrize(
    ("end", "named"),
    [
        (b"SEGFAULT", r"decoding the image killed the process \(SIGSEGV\); send another image"),
        (b"EXIT", "decoding the image ended the process with code 3"),
        (b"HANG", "decoding the image took more than 5 s"),
        (b"FILL", "decoding the image needed more memory than the service allows"),
    ],
)
def test_an_image_that_kills_the_process_is_refused_and_the_next_is_decoded(
    fragile: Decoder, end: bytes, named: str
) -> None:
    for _ in range(2):
        with pytest.raises(ImageError, match=named):
            fragile.decode(jpeg(0) + end)
        np.testing.assert_array_equal(fragile.decode(jpeg(1)), decode(jpeg(1), SEEN).pixels)


def test_a_process_that_died_between_two_images_is_started_again(fragile: Decoder) -> None:
    fragile.decode(jpeg(0))
    process = fragile._process
    process.kill()
    process.wait()
    np.testing.assert_array_equal(fragile.decode(jpeg(1)), decode(jpeg(1), SEEN).pixels)


def test_the_process_ends_with_the_decoder() -> None:
    decoder = Decoder(SEEN, 1_000_000, seconds=5, memory=256 << 20)
    pid = decoder._process.pid
    decoder.end()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)

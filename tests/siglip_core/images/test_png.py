"""PNG metadata: what it may cost, and what a reject of a PNG says."""

import tracemalloc
import zlib

import numpy as np
import pytest

from siglip_core import ImageError, images
from tests.siglip_core.images import drawn


def bomb(unpacked: int) -> bytes:
    """Zeros, compressed."""
    compressor = zlib.compressobj(9)
    block = bytes(1 << 20)
    parts = [compressor.compress(block) for _ in range(unpacked >> 20)]
    return b"".join([*parts, compressor.flush()])


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_text_of_256_mib_is_not_decompressed(place: str) -> None:
    content = bomb(256 << 20)
    chunks = {
        b"zTXt": b"Comment\0\0" + content,
        b"iTXt": b"XML:com.adobe.xmp\0\1\0\0\0" + content,
        b"iCCP": b"icc\0\0" + content,
    }
    for kind, chunk in chunks.items():
        data = drawn.rgb_png(**{place: drawn.chunk(kind, chunk)})
        tracemalloc.start()
        try:
            picture = images.read(data)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        np.testing.assert_array_equal(picture.upright, drawn.RGB)
        assert peak < 8 << 20


def test_damaged_pixels_are_refused_beside_damaged_metadata_too() -> None:
    text = drawn.chunk(b"zTXt", b"Comment\0\0" + drawn.big())
    whole = drawn.rgb_png(before=text)
    with pytest.raises(ImageError, match="truncated"):
        images.read(whole[:-60])
    with pytest.raises(ImageError, match="PNG"):
        images.read(whole.replace(b"IDAT", b"IDAX"))


def test_a_reject_gives_pillows_own_reason() -> None:
    data = bytearray(drawn.rgb_png())
    data[29] ^= 1  # the CRC of the header
    with pytest.raises(ImageError, match=r"a damaged PNG; PNG: broken PNG file \(bad header checksum in b'IHDR'\)"):
        images.read(bytes(data))


def test_a_png_that_is_too_large_is_not_read_again_without_metadata() -> None:
    data = drawn.rgb_png(before=drawn.chunk(b"tEXt", b"Comment\0hello"))
    with pytest.raises(ImageError, match="24 x 18 pixels") as caught:
        images.read(data, max_pixels=24 * 18 - 1)
    assert caught.value.reason == "too-large"

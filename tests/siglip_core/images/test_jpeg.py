"""JPEGs of every kind: whoever decodes them, the same are accepted, with the pixels that Pillow gives."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import numpy as np
import pytest
import simplejpeg
from PIL import ExifTags, Image, ImageOps

from siglip_core import ImageError, images
from tests.siglip_core.images import drawn


def photo(width: int = 203, height: int = 151) -> Image.Image:
    """Smooth colours with noise and an edge."""
    random = np.random.default_rng(width * height)
    y, x = np.mgrid[:height, :width]
    colours = np.stack([x * 255 / width, y * 255 / height, (x + y) % 256], axis=2)
    colours[:, width // 2] = 0
    return Image.fromarray((colours + random.normal(0, 12, colours.shape)).clip(0, 255).astype(np.uint8))


def jpeg(image: Image.Image | None = None, **options: object) -> bytes:
    file = io.BytesIO()
    (photo() if image is None else image).save(file, "JPEG", **options)
    return file.getvalue()


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return jpeg(exif=exif)


def adobe(data: bytes, transform: int) -> bytes:
    """With the marker of Adobe, which says how its colours are to be understood."""
    segment = b"Adobe" + struct.pack(">HHHB", 100, 0, 0, transform)
    return data[:2] + b"\xff\xee" + struct.pack(">H", len(segment) + 2) + segment + data[2:]


def without_jfif(data: bytes) -> bytes:
    return data[:2] + data[4 + struct.unpack(">H", data[4:6])[0] :]


def twelve_bits(data: bytes) -> bytes:
    """Says that its samples have 12 bits."""
    at = data.index(b"\xff\xc0") + 4
    return data[:at] + b"\x0c" + data[at + 1 :]


def inverted_cmyk() -> bytes:
    return jpeg(Image.fromarray(255 - np.asarray(photo().convert("CMYK")), "CMYK"))


def damaged(data: bytes) -> bytes:
    """With other bytes in the middle of its scan."""
    middle = len(data) * 2 // 3
    return data[:middle] + bytes(range(1, 60)) + data[middle + 59 :]


def animation() -> bytes:
    file = io.BytesIO()
    photo().save(file, "MPO", save_all=True, append_images=[photo(100, 100)])
    return file.getvalue()


KINDS: dict[str, Callable[[], bytes]] = {
    "ordinary": jpeg,
    "4:4:4": lambda: jpeg(subsampling=0),
    "4:2:2": lambda: jpeg(subsampling=1),
    "4:4:0": lambda: simplejpeg.encode_jpeg(np.asarray(photo()), colorsubsampling="440"),
    "4:1:1": lambda: simplejpeg.encode_jpeg(np.asarray(photo()), colorsubsampling="411"),
    "progressive": lambda: jpeg(progressive=True, quality=40),
    "of the best quality": lambda: jpeg(quality=100, optimize=True),
    "of the worst quality": lambda: jpeg(quality=1),
    "with restart markers": lambda: jpeg(restart_marker_blocks=2),
    "grey": lambda: jpeg(photo().convert("L")),
    "grey, progressive": lambda: jpeg(photo().convert("L"), progressive=True),
    "CMYK": lambda: jpeg(photo().convert("CMYK")),
    "CMYK of Adobe": inverted_cmyk,
    "YCCK": lambda: adobe(without_jfif(jpeg(photo().convert("CMYK"))), 2),
    "RGB of Adobe": lambda: adobe(without_jfif(jpeg(keep_rgb=True)), 0),
    "YCbCr of Adobe": lambda: adobe(jpeg(), 1),
    "YCbCr of Adobe that says RGB": lambda: adobe(without_jfif(jpeg()), 0),
    "without JFIF": lambda: without_jfif(jpeg()),
    "of 1 pixel": lambda: jpeg(photo(1, 1)),
    "of 1 row": lambda: jpeg(photo(999, 1)),
    "of 1 column": lambda: jpeg(photo(1, 999)),
    "of 8 x 8": lambda: jpeg(photo(8, 8)),
    "with bytes behind its end": lambda: jpeg() + b"\0\1\2" * 50,
    "with another behind its end": lambda: jpeg() + jpeg(photo(9, 9)),
    "of several pictures": animation,
    "with a comment": lambda: jpeg(comment=b"\xff\xd9 is the end"),
    "with a profile": lambda: jpeg(icc_profile=b"profile" * 20000),
    "with EXIF that is none": lambda: jpeg(exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"),
    "of 12 bits": lambda: twelve_bits(jpeg()),
    "truncated": lambda: jpeg()[:-300],
    "truncated, progressive": lambda: jpeg(progressive=True)[:-300],
    "without its end": lambda: jpeg()[:-2],
    "cut in its header": lambda: jpeg()[:300],
    "damaged": lambda: damaged(jpeg()),
    "damaged, progressive": lambda: damaged(jpeg(progressive=True)),
    "damaged, with restart markers": lambda: damaged(jpeg(restart_marker_blocks=2)),
    "with a table of Huffman codes that is none": lambda: jpeg().replace(
        b"\xff\xc4\x00\x1f\x00\x00\x01", b"\xff\xc4\x00\x1f\x00\xff\xff"
    ),
    "with no table of Huffman codes": lambda: jpeg().replace(b"\xff\xc4", b"\xff\xef"),
    "with a height of 0": lambda: jpeg().replace(struct.pack(">HH", 151, 203), struct.pack(">HH", 0, 203)),
    "that says it is taller": lambda: jpeg().replace(struct.pack(">HH", 151, 203), struct.pack(">HH", 400, 203)),
    "that says it is wider": lambda: jpeg().replace(struct.pack(">HH", 151, 203), struct.pack(">HH", 151, 400)),
    **{f"of orientation {number}": lambda number=number: turned(number) for number in range(10)},
}


def by_pillow(data: bytes) -> drawn.Pixels | str:
    """Pixels, or the words of its error."""
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            image.load()
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except Exception as error:  # noqa: BLE001 - Pillow raises almost any error
        return str(error)


@pytest.mark.parametrize("kind", KINDS)
def test_a_jpeg_is_what_pillow_says_it_is(kind: str) -> None:
    data = KINDS[kind]()
    wanted = by_pillow(data)
    if isinstance(wanted, str):
        with pytest.raises(ImageError) as caught:
            images.read(data)
        assert caught.value.reason == "decode"
        assert "cannot identify" in wanted or wanted in str(caught.value)
        return
    picture = images.read(data)
    np.testing.assert_array_equal(picture.upright, wanted)
    assert (picture.height, picture.width, 3) == wanted.shape


@pytest.mark.parametrize(
    "kind",
    ["ordinary", "4:4:4", "4:2:2", "4:4:0", "progressive", "with restart markers", "grey", "of orientation 6"],
)
def test_common_kinds_are_decoded_to_less(kind: str) -> None:
    picture = images.read(KINDS[kind](), target=lambda height, width: (height // 6, width // 6))
    assert picture.upright.shape == (-(-picture.height // 2), -(-picture.width // 2), 3)
    assert {picture.height, picture.width} == {151, 203}


@pytest.mark.parametrize("kind", ["CMYK", "damaged, progressive"])
def test_what_pillow_has_to_decode_comes_at_its_own_size(kind: str) -> None:
    assert images.read(KINDS[kind](), target=lambda *_: (5, 5)).stored.shape == (151, 203, 3)


@pytest.mark.parametrize(
    ("target", "height"), [(5, 19), (6, 38), (12, 38), (13, 76), (30, 76), (31, 151), (151, 151), (500, 151)]
)
def test_more_is_decoded_where_less_is_not_enough(target: int, height: int) -> None:
    """Of 151 rows: an eighth, a quarter, a half and all."""
    assert images.read(jpeg(), target=lambda *_: (target, 1)).stored.shape[0] == height


def test_a_bomb_is_refused_by_its_header() -> None:
    with pytest.raises(ImageError, match="203 x 151 pixels") as caught:
        images.read(jpeg()[:700], max_pixels=203 * 151 - 1)
    assert caught.value.reason == "too-large"

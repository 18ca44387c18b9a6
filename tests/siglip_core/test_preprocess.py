"""Bytes to pixels: what is accepted and how it looks, what is refused and why."""

import pickle
import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageFile
from siglip_models import image_bytes, photo
from transformers import SiglipImageProcessorPil

from siglip_core import ImageError, Preprocessing
from siglip_core.preprocess import decode, from_pil

BICUBIC = Preprocessing("hf-bicubic-aa", 32)
ODD = Path(__file__).parents[3] / "shared/data/odd/images"


@pytest.mark.parametrize(("name", "resample"), [("hf-bicubic-aa", 3), ("hf-bilinear-aa", 2)])
@pytest.mark.parametrize("size", [(90, 60), (31, 200), (8, 8)])
def test_pixels_equal_transformers(name: str, resample: int, size: tuple[int, int]) -> None:
    image = photo(*size)
    processor = SiglipImageProcessorPil(size={"height": 32, "width": 32}, resample=resample)
    theirs = processor(image, return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
    ours = decode(image_bytes(image), Preprocessing(name, 32)).pixels  # type: ignore[arg-type]
    assert ours.dtype == np.uint8
    assert np.abs((theirs + 1) * 127.5 - ours).max() <= 1.001  # at most one grey level


def test_original_size_is_given() -> None:
    decoded = decode(image_bytes(photo(90, 60)), BICUBIC)
    assert (decoded.width, decoded.height) == (90, 60)
    assert decoded.pixels.shape == (32, 32, 3)
    assert decoded.pixels.flags.writeable  # torch warns on read-only arrays


STORED = {  # EXIF orientation -> how an upright image is stored under it
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation_is_applied(orientation: int) -> None:
    upright = photo(90, 60)
    transpose = STORED[orientation]
    stored = upright if transpose is None else upright.transpose(transpose)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    decoded = decode(image_bytes(stored, exif=exif), BICUBIC)
    assert (decoded.width, decoded.height) == (90, 60)
    np.testing.assert_array_equal(decoded.pixels, decode(image_bytes(upright), BICUBIC).pixels)


def test_unreadable_exif_counts_as_none() -> None:
    plain = image_bytes(photo(), "JPEG")
    broken = image_bytes(photo(), "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff")
    np.testing.assert_array_equal(decode(broken, BICUBIC).pixels, decode(plain, BICUBIC).pixels)


def flat(data: bytes) -> list[int]:
    """The colour of a one-coloured image."""
    pixels = decode(data, BICUBIC).pixels
    assert (pixels == pixels[0, 0]).all()
    return [int(value) for value in pixels[0, 0]]


@pytest.mark.parametrize(
    ("image", "form", "options", "colour"),
    [
        (Image.new("RGBA", (9, 9), (200, 0, 0, 0)), "PNG", {}, [255, 255, 255]),
        (Image.new("RGBA", (9, 9), (0, 0, 0, 128)), "PNG", {}, [127, 127, 127]),
        (Image.new("LA", (9, 9), (10, 0)), "PNG", {}, [255, 255, 255]),
        (Image.new("P", (9, 9), 0), "PNG", {"transparency": 0}, [255, 255, 255]),
        (Image.new("RGB", (9, 9), (1, 2, 3)), "PNG", {"transparency": (1, 2, 3)}, [255, 255, 255]),
        (Image.new("P", (9, 9), 0), "GIF", {"transparency": 0}, [255, 255, 255]),
        (Image.new("1", (9, 9), 1), "PNG", {}, [255, 255, 255]),
        (Image.new("L", (9, 9), 77), "JPEG", {}, [77, 77, 77]),
        (Image.new("CMYK", (9, 9), (0, 0, 0, 255)), "JPEG", {}, [0, 0, 0]),
        (Image.new("CMYK", (9, 9), (0, 0, 0, 0)), "JPEG", {}, [255, 255, 255]),
        (Image.new("I;16", (9, 9), 0x8012), "PNG", {}, [128, 128, 128]),
        (Image.new("RGB", (9, 9), (10, 20, 30)), "WEBP", {"lossless": True}, [10, 20, 30]),
        (Image.new("RGB", (9, 9), (10, 20, 30)), "BMP", {}, [10, 20, 30]),
        (Image.new("RGB", (9, 9), (10, 20, 30)), "TIFF", {}, [10, 20, 30]),
        (Image.new("RGB", (9, 9), (10, 20, 30)), "PPM", {}, [10, 20, 30]),
        (Image.new("I;16", (9, 9), 0x8012), "TIFF", {}, [128, 128, 128]),
        (Image.new("I", (9, 9), 0x8012), "PPM", {}, [128, 128, 128]),
        (Image.new("RGB", (9, 9), (10, 20, 30)), "JPEG2000", {}, [10, 20, 30]),
        (Image.new("I;16", (9, 9), 0x8012), "JPEG2000", {}, [128, 128, 128]),
        (Image.new("RGB", (9, 9), (10, 20, 30)), "TGA", {}, [10, 20, 30]),
        (Image.new("RGBA", (16, 16), (10, 20, 30, 255)), "ICO", {"sizes": [(16, 16)]}, [10, 20, 30]),
        (Image.new("RGB", (9, 9), (10, 20, 30)), "SGI", {}, [10, 20, 30]),
        (Image.new("RGB", (9, 9), (10, 20, 30)), "QOI", {}, [10, 20, 30]),
    ],
)
def test_every_colour_space_becomes_rgb(
    image: Image.Image, form: str, options: dict[str, object], colour: list[int]
) -> None:
    assert flat(image_bytes(image, form, **options)) == colour


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame_of_an_animation(form: str) -> None:
    frames = [Image.new("RGB", (9, 9), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    options = {"lossless": True} if form == "WEBP" else {}
    data = image_bytes(frames[0], form, save_all=True, append_images=frames[1:], **options)
    assert flat(data) == [255, 0, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_32_bit_samples_are_stretched_from_the_least_to_the_greatest(dtype: type) -> None:
    ramp = np.tile(np.linspace(-7000, 90000, 32), (32, 1)).astype(dtype)
    pixels = decode(image_bytes(Image.fromarray(ramp), "TIFF"), BICUBIC).pixels
    np.testing.assert_allclose(pixels[0, :, 0], np.linspace(0, 255, 32), atol=1)


def test_32_bit_samples_that_are_no_numbers_harm_no_other() -> None:
    odd = np.array([[np.nan, np.inf], [-np.inf, 5]], np.float32).repeat(16, 0).repeat(16, 1)
    pixels = decode(image_bytes(Image.fromarray(odd), "TIFF"), BICUBIC).pixels
    assert pixels[0, 0, 0] == 0
    assert flat(image_bytes(Image.new("F", (9, 9), float("nan")), "TIFF")) == [0, 0, 0]


def test_12_bit_samples_keep_their_upper_8() -> None:
    """Two samples in three bytes; Pillow reads such files and writes none."""
    strip = bytes([0x80, 0x18, 0x01]) * (32 * 16)  # 0x801, 0x801
    tags = [(256, 3, 32), (257, 3, 32), (258, 3, 12), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1), (278, 3, 32)]
    tags.append((279, 4, len(strip)))
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    tiff = struct.pack("<2sHI", b"II", 42, 8 + len(strip)) + strip + struct.pack("<H", len(tags)) + entries + bytes(4)
    assert flat(tiff) == [0x80, 0x80, 0x80]


def test_an_icon_whose_image_is_larger_than_its_header_says() -> None:
    data = bytearray(image_bytes(Image.new("RGBA", (64, 64)), "ICO", sizes=[(64, 64)]))
    data[6:8] = 16, 16
    assert decode(bytes(data), BICUBIC).width == 64
    with pytest.raises(ImageError, match="64 x 64 pixels") as caught:
        decode(bytes(data), BICUBIC, max_pixels=1000)
    assert caught.value.reason == "too-large"


JPEG = image_bytes(photo(), "JPEG")
PNG = image_bytes(photo(), "PNG")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"\xff", "1 bytes"),
        (b"\n<!DOCTYPE html><html><body>404", "HTML"),
        (b"<html>", "HTML"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b'{"error": "not found"}', "JSON"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
        (b"\xff\xd8", "damaged JPEG"),
        (JPEG[:-200], "truncated"),
        (JPEG[: len(JPEG) // 2], "truncated"),
        (PNG[: len(PNG) // 2], "damaged PNG"),
        (PNG[:60] + b"\x00\x00\x00\x00" + PNG[64:], "damaged PNG"),
        (image_bytes(photo(), "GIF")[:400], "truncated"),
        (image_bytes(photo(), "WEBP")[:-100], "damaged WebP"),
        (image_bytes(photo(), "TIFF")[:-100], "TIFF"),
    ],
)
def test_what_is_not_a_whole_image_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        decode(data, BICUBIC)
    assert caught.value.reason == "decode"


def test_readers_that_run_programs_are_not_used() -> None:
    """Pillow hands EPS to ghostscript; it must not even be recognised."""
    eps = image_bytes(Image.new("RGB", (9, 9)), "EPS")
    assert Image.open(BytesIO(eps)).format == "EPS"
    with pytest.raises(ImageError, match="PostScript"):
        decode(eps, BICUBIC)


def test_bomb_is_refused_by_its_header() -> None:
    data = image_bytes(photo(90, 60))
    assert decode(data, BICUBIC, max_pixels=5400).width == 90
    header = data[:100]  # no pixel data: a decoder would complain of that instead
    with pytest.raises(ImageError, match="90 x 60 pixels") as caught:
        decode(header, BICUBIC, max_pixels=5399)
    assert caught.value.reason == "too-large"


def test_bomb_beyond_pillows_own_limit() -> None:
    ihdr = bytearray(image_bytes(Image.new("1", (8, 8))))
    ihdr[16:24] = (60000).to_bytes(4) * 2
    ihdr[29:33] = __import__("zlib").crc32(ihdr[12:29]).to_bytes(4)
    with pytest.raises(ImageError, match="3600000000 pixels") as caught:
        decode(bytes(ihdr), BICUBIC)
    assert caught.value.reason == "too-large"


def test_half_images_are_never_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(RuntimeError, match="LOAD_TRUNCATED_IMAGES"):
        decode(JPEG, BICUBIC)


def test_open_images_take_the_same_path() -> None:
    np.testing.assert_array_equal(from_pil(photo(), BICUBIC).pixels, decode(PNG, BICUBIC).pixels)


def test_errors_cross_process_borders() -> None:
    error = pickle.loads(pickle.dumps(ImageError("too-large", "too many pixels")))
    assert isinstance(error, ImageError)
    assert (error.reason, str(error)) == ("too-large", "too many pixels")


def test_identity_names_everything_the_pixels_depend_on() -> None:
    assert BICUBIC.identity == "hf-bicubic-aa.v1@32"
    assert pickle.loads(pickle.dumps(BICUBIC)) == BICUBIC


@pytest.mark.skipif(not ODD.is_dir(), reason="../shared/data/odd/images is not beside the checkout")
def test_257_odd_files_give_pixels_or_an_image_error() -> None:
    outcomes = {"pixels": 0, "decode": 0, "too-large": 0}
    for path in ODD.rglob("*.*"):
        try:
            pixels = decode(path.read_bytes(), BICUBIC).pixels
        except ImageError as error:
            outcomes[error.reason] += 1
        else:
            assert pixels.shape == (32, 32, 3)
            outcomes["pixels"] += 1
    assert outcomes["pixels"] > 100
    assert outcomes["decode"] > 50
    assert outcomes["too-large"] > 4

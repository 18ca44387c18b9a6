"""What bytes look like: real files of every format that Pillow writes, and what stands in for images in datasets."""

import bz2
import gzip
import io
import lzma
import zipfile

import pytest
from PIL import Image
from siglip_models import image_bytes, photo

from siglip_core import signatures


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        ("JPEG", "JPEG"),
        ("PNG", "PNG"),
        ("GIF", "GIF"),
        ("WEBP", "WebP"),
        ("BMP", "BMP"),
        ("TIFF", "TIFF"),
        ("AVIF", "AVIF"),
        ("JPEG2000", "JPEG 2000"),
    ],
)
def test_images_are_known(form: str, kind: str) -> None:
    data = image_bytes(photo(), form)
    assert signatures.kind(data[:32]) == kind
    assert kind in signatures.IMAGES


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x00\x00\x00\x18ftypheic\x00\x00", "HEIC"),
        (b"\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1heicmiaf", "HEIC"),
        (b"\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1avifmiaf", "AVIF"),
        (b"\x00\x00\x00\x18ftypavis\x00\x00\x00\x00avisavif", "AVIF"),
        (b"\xff\x0a\xfa\x1f", "JPEG XL"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL"),
    ],
)
def test_images_that_plugins_read_are_known(head: bytes, kind: str) -> None:
    assert signatures.kind(head) == kind
    assert kind in signatures.IMAGES


def test_a_codestream_and_big_endian_samples_are_known_too() -> None:
    assert signatures.kind(image_bytes(photo(), "JPEG2000", no_jp2=True)) == "JPEG 2000"
    big_endian = image_bytes(Image.new("I;16B", (9, 9)), "TIFF")
    assert big_endian.startswith(b"MM")
    assert signatures.kind(big_endian) == "TIFF"


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.txt", "a")
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (gzip.compress(b"a", mtime=0), "gzip"),
        (bz2.compress(b"a"), "bzip2"),
        (lzma.compress(b"a"), "xz"),
        (_zip(), "a zip archive"),
        (image_bytes(photo(), "PDF"), "PDF"),
        (image_bytes(photo(), "EPS"), "PostScript"),
        (b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp42", "a file of brand isom"),
        (b"\xef\xbb\xbf\r\n<!DOCTYPE HTML><html>", "HTML"),
        (b"<SVG xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"<?xml version='1.0'?>", "XML"),
        (b' {"error": 404}', "JSON"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer; run `git lfs pull`"),
    ],
)
def test_what_is_no_image_is_named(data: bytes, kind: str) -> None:
    assert signatures.kind(data) == kind
    assert kind not in signatures.IMAGES


@pytest.mark.parametrize("data", [b"", b"\xff", b"BM is how this text begins", b"a dog", bytes(1024)])
def test_what_has_no_signature_has_no_kind(data: bytes) -> None:
    assert signatures.kind(data) is None

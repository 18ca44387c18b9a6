"""Recognises the format of bytes by the signature at their start."""

from typing import Final

IMAGES: Final = frozenset(
    ["JPEG", "PNG", "GIF", "WebP", "BMP", "TIFF", "AVIF", "JPEG 2000", "JPEG XL", "HEIC", "Photoshop file"]
)
"""the kinds that are images"""

# (offset, bytes, kind). The signatures are short, so that damaged files still match.
_SIGNATURES: Final = (
    (0, b"\xff\xd8", "JPEG"),
    (0, b"\x89PNG", "PNG"),
    (0, b"GIF8", "GIF"),
    (8, b"WEBP", "WebP"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (4, b"jP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\xff\x0a", "JPEG XL"),
    (4, b"JXL \r\n", "JPEG XL"),
    (0, b"8BPS", "Photoshop file"),
    (0, b"PAR1", "Parquet"),
    (0, b"PARE", "encrypted Parquet"),
    (0, b"ARROW1", "an Arrow IPC file"),
    (0, b"\xff\xff\xff\xff", "an Arrow IPC stream"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"BZh", "bzip2"),
    (0, b"\xfd7zXZ\x00", "xz"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"%PDF", "PDF"),
    (0, b"%!PS", "PostScript"),
    (0, b"version https://git-lfs", "a Git LFS pointer; run `git lfs pull`"),
)
# Matched in lower case, as markup may be written in capital letters.
_MARKUP: Final = (
    (b"<!doctype html", "HTML"),
    (b"<html", "HTML"),
    (b"<svg", "SVG"),
    (b"<?xml", "XML"),
    (b"{", "JSON"),
    (b"[", "JSON"),
)
BLANK: Final = b"\xef\xbb\xbf \t\r\n"
"""UTF-8's byte order mark, and white space"""

_BOX, _BRAND, _BMP_RESERVED = slice(4, 8), slice(8, 12), slice(6, 10)
_COMPATIBLE_BRANDS = 16  # offset of the first, each of 4 bytes
# Brands of HEIF, by what its pictures are coded in. A general brand such as mif1 may come before them.
_BRANDS: Final = {
    **dict.fromkeys([b"avif", b"avis"], "AVIF"),
    **dict.fromkeys([b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"], "HEIC"),
}


def kind(head: bytes) -> str | None:
    """The kind of a file, by its first bytes: "JPEG", "Parquet", "a zip archive", "HTML", …; None if unknown."""
    for offset, signature, name in _SIGNATURES:
        if head.startswith(signature, offset):
            return name
    if head.startswith(b"BM") and head[_BMP_RESERVED] == bytes(4):
        return "BMP"
    if head[_BOX] == b"ftyp":  # HEIF and MP4 begin with this box
        end = int.from_bytes(head[:4])
        brands = [head[_BRAND], *(head[at : at + 4] for at in range(_COMPATIBLE_BRANDS, min(end, len(head)), 4))]
        coding = (_BRANDS[brand] for brand in brands if brand in _BRANDS)
        return next(coding, f"a file of brand {head[_BRAND].decode('ascii', 'replace')}")
    text = head.lstrip(BLANK).lower()
    return next((name for signature, name in _MARKUP if text.startswith(signature)), None)

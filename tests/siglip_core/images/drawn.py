"""Odd images made by hand, most of which Pillow does not write, each with the picture that a viewer shows.

Every case is a file and its right pixels, uint8 [H, W, 3].
"""

import io
import struct
import zlib
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
Case = tuple[bytes, Pixels]

HEIGHT, WIDTH = 18, 24


def _smooth(seed: int, samples: int) -> Pixels:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, samples), dtype=np.uint8)
    bands = [
        Image.fromarray(coarse[..., band]).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC) for band in range(samples)
    ]
    return np.stack([np.asarray(band) for band in bands], 2)


RGB = _smooth(1, 3)
GREY = _smooth(2, 1)[..., 0]
ALPHA = _smooth(3, 1)[..., 0]
WHITE = np.full_like(RGB, 255)


def grey(samples: Pixels) -> Pixels:
    return samples[..., None].repeat(3, axis=2)


def on_white(colours: Pixels, alpha: Pixels) -> Pixels:
    share = alpha[..., None].astype(np.float32) / 255
    return np.rint(colours * share + 255 * (1 - share)).astype(np.uint8)


def with_fourth(fourth: int | Pixels, colours: Pixels = RGB) -> Pixels:
    """uint8 [H, W, 4]"""
    return np.dstack([colours, np.broadcast_to(np.asarray(fourth, np.uint8), (HEIGHT, WIDTH))])


# --- PNG


def chunk(kind: bytes, content: bytes = b"", crc: int | None = None) -> bytes:
    found = zlib.crc32(kind + content) if crc is None else crc
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", found)


def png(
    rows: Iterable[bytes],
    colour_type: int,
    depth: int = 8,
    *,
    before: bytes = b"",
    after: bytes = b"",
    end: bytes = b"",
    size: tuple[int, int] = (WIDTH, HEIGHT),
) -> bytes:
    """`before`, `after`: chunks before and after the image data; `end`: bytes after the end mark."""
    header = struct.pack(">IIBBBBB", *size, depth, colour_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = chunk(b"IHDR", header) + before + chunk(b"IDAT", pixels) + after + chunk(b"IEND")
    return b"\x89PNG\r\n\x1a\n" + chunks + end


def rgb_png(before: bytes = b"", after: bytes = b"", end: bytes = b"") -> bytes:
    return png([row.tobytes() for row in RGB], 2, before=before, after=after, end=end)


def packed(content: bytes) -> bytes:
    return zlib.compress(content, 9)


def big() -> bytes:
    return packed(bytes(2 << 20))


def png_cases() -> dict[str, Case]:
    bad = 0x01020304
    metadata = {
        "profile of 2 MiB": chunk(b"iCCP", b"icc\0\0" + big()),
        "compressed text of 2 MiB": chunk(b"zTXt", b"Comment\0\0" + big()),
        "compressed international text of 2 MiB": chunk(b"iTXt", b"prompt\0\1\0\0\0" + big()),
        "XMP of 2 MiB, compressed": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + big()),
        "texts of 70 MiB together": chunk(b"zTXt", b"Comment\0\0" + packed(bytes(1000 << 10))) * 70,
        "text with a bad CRC": chunk(b"tEXt", b"Comment\0hello", bad),
        "profile with a bad CRC": chunk(b"iCCP", b"icc\0\0" + packed(b"profile"), bad),
        "EXIF with a bad CRC": chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0", bad),
        "private chunk with a bad CRC": chunk(b"prVt", b"x", bad),
        "time with a bad CRC": chunk(b"tIME", bytes(7), bad),
        "gamma of 3 bytes": chunk(b"gAMA", bytes(3)),
        "chromaticities of 4 bytes": chunk(b"cHRM", bytes(4)),
        "size of a pixel of 8 bytes": chunk(b"pHYs", bytes(8)),
        "sRGB without content": chunk(b"sRGB"),
        "profile of compression method 1": chunk(b"iCCP", b"icc\0\1" + packed(b"profile")),
        "profile without content": chunk(b"iCCP"),
        "text of compression method 1": chunk(b"zTXt", b"Comment\0\1" + packed(b"hello")),
        "text whose name is that of Pillow's own entry": chunk(b"tEXt", b"transparency\0hello"),
        "transparency that is too short": chunk(b"tRNS", b"\0\1"),
        "transparency with a bad CRC": chunk(b"tRNS", struct.pack(">3H", *RGB[0, 0]), bad),
        "animation without content": chunk(b"acTL"),
        "animation whose frames are out of order": chunk(b"acTL", struct.pack(">II", 2, 0))
        + chunk(b"fcTL", struct.pack(">IIIIIHHBB", 9, WIDTH, HEIGHT, 0, 0, 1, 1, 0, 0)),
    }
    cases = {f"PNG: {name}": (rgb_png(before=it), RGB) for name, it in metadata.items()}
    cases |= {
        f"PNG: {name}, behind the pixels": (rgb_png(after=it), RGB)
        for name, it in metadata.items()
        if it[4:8] not in (b"tRNS", b"acTL", b"eXIf")
    }
    cut = b"\0\0\xff\xffzTXtComment\0\0"
    whole = rgb_png()
    cases |= {
        "PNG: a text behind the pixels that is cut off": (whole[:-12] + cut, RGB),
        "PNG: chunks after the end mark": (rgb_png(end=metadata["profile of 2 MiB"]), RGB),
        "PNG: bytes after the end mark": (rgb_png(end=b"trailing"), RGB),
        "PNG: suggested palette with a bad CRC": (rgb_png(before=chunk(b"PLTE", bytes(6), bad)), RGB),
        "PNG: all of it": (rgb_png(before=b"".join(metadata.values())), RGB),
    }
    damaged = chunk(b"gAMA", b"\0")
    sideways = np.rot90(RGB, -1)  # orientation 6
    exif = chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0")
    xmp = b'<x:xmpmeta tiff:Orientation="6"/>'
    text = b"\nexif\n      26\n" + exif[8:-4].hex().encode()
    cases |= {
        "PNG: a damaged chunk beside EXIF orientation": (rgb_png(before=damaged + exif), sideways),
        "PNG: a damaged chunk, EXIF orientation behind the pixels": (rgb_png(before=damaged, after=exif), sideways),
        "PNG: a damaged chunk beside XMP orientation": (
            rgb_png(before=damaged + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)),
            sideways,
        ),
        "PNG: a damaged chunk beside an orientation in a compressed text": (
            rgb_png(before=damaged + chunk(b"zTXt", b"Raw profile type exif\0\0" + packed(text))),
            sideways,
        ),
    }
    return cases | _transparent_colours(damaged)


def _transparent_colours(damaged: bytes) -> dict[str, Case]:
    cases = {}
    for depth in (1, 2, 4, 8, 16):
        most = 2**depth - 1
        samples = np.rint(GREY.astype(np.float64) / 255 * most).astype(np.uint16)
        colour = int(samples[3, 4])
        if depth == 16:
            rows = [row.astype(">u2").tobytes() for row in samples]
        else:
            bits = (samples[..., None] >> np.arange(depth)[::-1]) & 1
            rows = [np.packbits(row.reshape(-1)).tobytes() for row in bits.astype(np.uint8)]
        seen = grey((samples >> 8 if depth == 16 else samples * (255 // most)).astype(np.uint8))
        seen[samples == colour] = 255
        key = chunk(b"tRNS", struct.pack(">H", colour))
        cases[f"PNG: transparent grey of {depth} bits"] = (png(rows, 0, depth, before=key), seen)
    deep = RGB.astype(np.uint16) * 257
    deep[5, 6:9] = deep[5, 5] + np.array([1, 0, 0], np.uint16)  # another colour of the same upper bytes
    key = chunk(b"tRNS", struct.pack(">3H", *deep[5, 5].tolist()))
    seen = (deep >> 8).astype(np.uint8)
    seen[(deep == deep[5, 5]).all(2)] = 255
    cases["PNG: transparent RGB of 16 bits"] = (
        png([row.astype(">u2").tobytes() for row in deep], 2, 16, before=key),
        seen,
    )
    key = chunk(b"tRNS", struct.pack(">3H", *RGB[5, 5].tolist()))
    seen = RGB.copy()
    seen[np.equal(RGB, RGB[5, 5]).all(2)] = 255
    cases["PNG: transparent RGB beside a damaged chunk"] = (rgb_png(before=damaged + key), seen)
    palette = np.unique(RGB.reshape(-1, 3), axis=0)[:16]
    index = (np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 16).astype(np.uint8)
    alpha = np.linspace(0, 255, 16).astype(np.uint8)
    chunks = damaged + chunk(b"PLTE", palette.tobytes()) + chunk(b"tRNS", alpha.tobytes())
    cases["PNG: palette with alpha beside a damaged chunk"] = (
        png([row.tobytes() for row in index], 3, before=chunks),
        on_white(palette[index], alpha[index]),
    )
    cases["PNG: alpha of 0 throughout"] = (png([row.tobytes() for row in with_fourth(0)], 6), WHITE)
    return cases


# --- BMP, ICO and CUR


def bmp(pixels: Pixels, masks: tuple[int, int, int, int], header: int) -> bytes:
    """uint8 [H, W, 4] in the order of the file's bytes; `header`: its length (56: V3, 108: V4, 124: V5)."""
    info = struct.pack("<IiiHHIIiiII", header, WIDTH, HEIGHT, 1, 32, 3, pixels.size, 0, 0, 0, 0)
    info += struct.pack("<4I", *masks) + b"BGRs"
    info = info[:header].ljust(header, b"\0")
    body = pixels[::-1].tobytes()
    return b"BM" + struct.pack("<IHHI", 14 + header + len(body), 0, 0, 14 + header) + info + body


BGRA_MASKS = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
RGBA_MASKS = (0xFF, 0xFF00, 0xFF0000, 0xFF000000)
BGRA = [2, 1, 0, 3]


def bmp_cases() -> dict[str, Case]:
    versions = {3: 56, 4: 108, 5: 124}
    cases = {
        f"BMP V{version}: fourth byte 0": (bmp(with_fourth(0)[..., BGRA], BGRA_MASKS, length), RGB)
        for version, length in versions.items()
    }
    cases |= {
        "BMP V4: fourth byte 0, RGBA": (bmp(with_fourth(0), RGBA_MASKS, 108), RGB),
        "BMP V5: alpha": (bmp(with_fourth(ALPHA)[..., BGRA], BGRA_MASKS, 124), on_white(RGB, ALPHA)),
        "BMP V5: fourth byte 255": (bmp(with_fourth(255)[..., BGRA], BGRA_MASKS, 124), RGB),
    }
    return cases


MASK = np.zeros((HEIGHT, WIDTH), bool)
MASK[:6, :9] = True


def _padded(rows: Pixels, unit: int = 4) -> bytes:
    """Rows of bytes, the lowest first, each filled up to a multiple of 4 bytes."""
    gap = -rows.shape[1] % unit
    return np.pad(rows[::-1], ((0, 0), (0, gap))).tobytes()


def dib(bits: int, pixels: Pixels, palette: bytes = b"", mask: NDArray[np.bool_] | None = MASK) -> bytes:
    """A bitmap as icons have it: `pixels` are bytes [H, row]."""
    info = struct.pack("<IiiHHIIiiII", 40, WIDTH, 2 * HEIGHT, 1, bits, 0, 0, 0, 0, 0, 0)
    below = b"" if mask is None else _padded(np.packbits(mask, axis=1))
    return info + palette + _padded(pixels) + below


def icon(images: list[tuple[int, int, bytes]], kind: int = 1) -> bytes:
    """An ICO (1) or CUR (2) of images, each with the side and the bits that the directory states."""
    offset = 6 + 16 * len(images)
    directory, body = struct.pack("<3H", 0, kind, len(images)), b""
    for side, bits, data in images:
        planes = 1 if kind == 1 else 0
        directory += struct.pack("<BBBBHHII", side, side, 0, 0, planes, bits, len(data), offset + len(body))
        body += data
    return directory + body


def icon_cases() -> dict[str, Case]:
    true_colour = RGB[..., ::-1].reshape(HEIGHT, -1)
    masked = RGB.copy()
    masked[MASK] = 255
    unused = with_fourth(0)[..., BGRA].reshape(HEIGHT, -1)
    used = with_fourth(ALPHA)[..., BGRA].reshape(HEIGHT, -1)
    black = dib(1, np.packbits(np.zeros((HEIGHT, WIDTH), np.uint8), axis=1), b"\0\0\0\0\xff\xff\xff\0")
    index = (np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 16).astype(np.uint8)
    palette = RGB.reshape(-1, 3)[:16]
    indexed = palette[index]
    indexed[MASK] = 255
    nibbles = index[:, ::2] << 4 | index[:, 1::2]
    four = dib(4, nibbles, b"".join(bytes([*colour[::-1], 0]) for colour in palette.tolist()))
    small = rgb_png()[:16] + struct.pack(">II", 1, 1) + rgb_png()[24:]
    metadata = chunk(b"zTXt", b"Comment\0\0" + big())
    return {
        "ICO: 24 bits with a mask": (icon([(24, 24, dib(24, true_colour))]), masked),
        "ICO: 32 bits, fourth byte 0, with a mask": (icon([(24, 32, dib(32, unused))]), masked),
        "ICO: 32 bits, fourth byte 0, without a mask": (icon([(24, 32, dib(32, unused, mask=None))]), RGB),
        "ICO: 32 bits with alpha": (icon([(24, 32, dib(32, used))]), on_white(RGB, ALPHA)),
        "ICO: alpha, the directory states no bits": (icon([(24, 0, dib(32, used))]), on_white(RGB, ALPHA)),
        "ICO: 4 bits with a mask": (icon([(24, 4, four)]), indexed),
        "ICO: 1 and 32 bits of one size": (icon([(24, 1, black), (24, 32, dib(32, used))]), on_white(RGB, ALPHA)),
        "ICO: 32 and 1 bits of one size": (icon([(24, 32, dib(32, used)), (24, 1, black)]), on_white(RGB, ALPHA)),
        "ICO: a small PNG before a large bitmap": (icon([(1, 32, small), (24, 24, dib(24, true_colour))]), masked),
        "ICO: PNG with a text of 2 MiB": (icon([(24, 32, rgb_png(before=metadata))]), RGB),
        "CUR: 24 bits with a mask": (icon([(24, 7, dib(24, true_colour))], 2), masked),
        "CUR: 32 bits with alpha": (icon([(24, 7, dib(32, used))], 2), on_white(RGB, ALPHA)),
        "CUR: 32 bits, fourth byte 0, with a mask": (icon([(24, 7, dib(32, unused))], 2), masked),
        "CUR: 4 bits with a mask": (icon([(24, 7, four)], 2), indexed),
    }


# --- TIFF

SHORT, LONG = 3, 4


def in_order(samples: NDArray[np.generic], order: str) -> bytes:
    return samples.astype(samples.dtype.newbyteorder(order)).tobytes()


def tiff(
    samples: NDArray[np.generic] | bytes,
    tags: Mapping[int, tuple[int, ...]],
    order: str = "<",
    *,
    big: bool = False,
    strips: int = 1,
) -> bytes:
    """`tags` beside those of size and strips; their values are SHORT. `samples`: of all strips."""
    strip = samples if isinstance(samples, bytes) else in_order(samples, order)
    start, length = 16 if big else 8, len(strip) // strips
    every: dict[int, tuple[int, tuple[int, ...]]] = {tag: (SHORT, values) for tag, values in tags.items()}
    every |= {256: (SHORT, (WIDTH,)), 257: (SHORT, (HEIGHT,)), 278: (SHORT, (HEIGHT,))}
    every |= {273: (LONG, tuple(start + length * number for number in range(strips))), 279: (LONG, (length,) * strips)}
    every |= {COMPRESSION: (SHORT, tags.get(COMPRESSION, (1,)))}
    room = 8 if big else 4
    extra, entries = b"", b""
    first = start + len(strip) + len(strip) % 2
    directory = first + (8 if big else 2) + (12 + room if big else 8 + room) * len(every) + room
    for tag, (kind, values) in sorted(every.items()):
        content = struct.pack(f"{order}{len(values)}{'H' if kind == SHORT else 'I'}", *values)
        if len(content) > room:
            place = struct.pack(f"{order}{'Q' if big else 'I'}", directory + len(extra))
            extra += content
        else:
            place = content.ljust(room, b"\0")
        entries += struct.pack(f"{order}HH{'Q' if big else 'I'}", tag, kind, len(values)) + place
    count = struct.pack(f"{order}{'Q' if big else 'H'}", len(every))
    mark = b"II" if order == "<" else b"MM"
    header = struct.pack(f"{order}HHHQ", 43, 8, 0, first) if big else struct.pack(f"{order}HI", 42, first)
    return mark + header + strip + bytes(len(strip) % 2) + count + entries + bytes(room) + extra


BITS, COMPRESSION, PHOTOMETRIC, ORIENTATION, SAMPLES, PLANAR = 258, 259, 262, 274, 277, 284
EXTRA, FORMAT, COLOURMAP = 338, 339, 320
SIGNED, FLOAT = 2, 3


def twelve(samples: NDArray[np.generic]) -> bytes:
    bits = (samples.astype(np.uint16)[..., None] >> np.arange(12)[::-1]) & 1
    return b"".join(np.packbits(row.reshape(-1)).tobytes() for row in bits.astype(np.uint8))


def tiff_cases() -> dict[str, Case]:
    four = {BITS: (8,) * 4, PHOTOMETRIC: (2,), SAMPLES: (4,)}
    cases: dict[str, Case] = {
        "TIFF: fourth sample undeclared and 0": (tiff(with_fourth(0), four), RGB),
        "TIFF: fourth sample undeclared and 0, big-endian": (tiff(with_fourth(0), four, ">"), RGB),
        "TIFF: fourth sample undeclared and 255": (tiff(with_fourth(255), four), RGB),
        "TIFF: fourth sample undeclared and 0, 16 bits": (
            tiff(with_fourth(0).astype(np.uint16) * 257, four | {BITS: (16,) * 4}),
            RGB,
        ),
        "TIFF: fourth sample unspecified": (tiff(with_fourth(0), four | {EXTRA: (0,)}), RGB),
        "TIFF: fourth sample is alpha": (tiff(with_fourth(ALPHA), four | {EXTRA: (2,)}), on_white(RGB, ALPHA)),
        "TIFF: fourth sample is alpha of 0": (tiff(with_fourth(0), four | {EXTRA: (2,)}), WHITE),
    }
    deep = GREY.astype(np.uint16) * 257
    bottom, top = int(GREY.min()), int(GREY.max())
    stretched = np.rint((GREY.astype(np.float64) - bottom) / (top - bottom) * 255).astype(np.uint8)
    for white_is_zero in (True, False):
        name = "white is 0" if white_is_zero else "black is 0"
        tags = {PHOTOMETRIC: (0 if white_is_zero else 1,), SAMPLES: (1,)}
        right = grey(255 - GREY if white_is_zero else GREY)
        right_stretched = grey(255 - stretched if white_is_zero else stretched)
        cases |= {
            f"TIFF: {name}, 8 bits": (tiff(GREY, tags | {BITS: (8,)}), right),
            f"TIFF: {name}, 12 bits": (tiff(twelve(deep >> 4), tags | {BITS: (12,)}), right),
            f"TIFF: {name}, 16 bits": (tiff(deep, tags | {BITS: (16,)}), right),
            f"TIFF: {name}, 16 bits, big-endian": (tiff(deep, tags | {BITS: (16,)}, ">"), right),
            f"BigTIFF: {name}, 16 bits": (tiff(deep, tags | {BITS: (16,)}, big=True), right),
            f"TIFF: {name}, 16 bits, deflate": (
                tiff(zlib.compress(deep.tobytes()), tags | {BITS: (16,), COMPRESSION: (8,)}),
                right,
            ),
            f"TIFF: {name}, 32 bits": (
                tiff(GREY.astype(np.uint32) << 20, tags | {BITS: (32,)}),
                right_stretched,
            ),
            f"TIFF: {name}, floating point": (
                tiff(GREY.astype(np.float32) / 255, tags | {BITS: (32,), FORMAT: (FLOAT,)}),
                right_stretched,
            ),
            f"TIFF: {name}, floating point, big-endian": (
                tiff(GREY.astype(np.float32) / 255, tags | {BITS: (32,), FORMAT: (FLOAT,)}, ">"),
                right_stretched,
            ),
        }
    planes = {BITS: (16,) * 3, PHOTOMETRIC: (2,), SAMPLES: (3,), PLANAR: (2,)}
    apart = (RGB.astype(np.uint16) * 257).transpose(2, 0, 1)
    for order, name in (("<", "little-endian"), (">", "big-endian")):
        cases[f"TIFF: planes of 16 bits, {name}"] = (tiff(apart, planes, order, strips=3), RGB)
        cases[f"TIFF: planes of 16 bits, {name}, turned"] = (
            tiff(apart, planes | {ORIENTATION: (6,)}, order, strips=3),
            np.rot90(RGB, -1),
        )
    cases["TIFF: one plane of 8 bits, white is 0"] = (
        tiff(GREY, {BITS: (8,), PHOTOMETRIC: (0,), SAMPLES: (1,), PLANAR: (2,)}),
        grey(255 - GREY),
    )
    cases["TIFF: one plane of 16 bits"] = (
        tiff(deep, {BITS: (16,), PHOTOMETRIC: (1,), SAMPLES: (1,), PLANAR: (2,)}),
        grey(GREY),
    )
    for name, samples, more in (
        ("floating point", GREY.astype(np.float32) / 255, {BITS: (32,), FORMAT: (FLOAT,)}),
        ("integers of 32 bits", (GREY.astype(np.int32) - 99) << 20, {BITS: (32,), FORMAT: (SIGNED,)}),
        ("integers of 16 bits", (GREY.astype(np.int16) - 99) << 7, {BITS: (16,), FORMAT: (SIGNED,)}),
    ):
        stored = zlib.compress(in_order(samples, ">"))
        cases[f"TIFF: {name}, big-endian, deflate"] = (
            tiff(stored, {PHOTOMETRIC: (1,), SAMPLES: (1,), COMPRESSION: (8,), **more}, ">"),
            grey(stretched),
        )
    index = (np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 256).astype(np.uint8)
    palette = _smooth(4, 3).reshape(-1, 3)[:256]
    tags = {BITS: (8,), PHOTOMETRIC: (3,), SAMPLES: (1,)}
    for name, scale in (("16-bit", 257), ("8-bit", 1)):
        values = tuple((palette.T.astype(int) * scale).reshape(-1).tolist())
        cases[f"TIFF: palette of {name} values"] = (tiff(index, tags | {COLOURMAP: values}), palette[index])
    return cases


# --- other formats


def tga(pixels: Pixels, bits: int, kind: int = 2, attributes: int = 0, footer: bytes = b"") -> bytes:
    """`pixels`: bytes as in the file, from the top; `attributes`: how many bits of alpha the header states."""
    header = struct.pack("<BBB5xHHHHBB", 0, 0, kind, 0, 0, WIDTH, HEIGHT, bits, 0x20 | attributes)
    return header + pixels.tobytes() + footer


def tga_footer(start: int, attributes_type: int) -> bytes:
    extension = struct.pack("<H492xB", 495, attributes_type)
    return extension + struct.pack("<II", start, 0) + b"TRUEVISION-XFILE.\0"


def run_lengths(pixels: Pixels) -> bytes:
    """TGA's: every pixel a packet of its own."""
    return b"".join(b"\0" + bytes(pixel) for pixel in pixels.reshape(-1, pixels.shape[2]).tolist())


def dds(pixels: Pixels) -> bytes:
    """uint8 [H, W, 4], BGRA, with alpha declared."""
    header = struct.pack("<7I44x", 124, 0x100F, HEIGHT, WIDTH, WIDTH * 4, 0, 0)
    layout = struct.pack("<8I", 32, 0x41, 0, 32, 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    return b"DDS " + header + layout + struct.pack("<5I", 0x1000, 0, 0, 0, 0) + pixels.tobytes()


def psd(samples: Pixels, layers: int | None) -> bytes:
    """uint8 [H, W, 4]; `layers`: the number that the file states, negative if the fourth channel is transparency."""
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, 4, HEIGHT, WIDTH, 8, 3)
    section = b"" if layers is None else struct.pack(">Ih", 2, layers)
    return (
        header + bytes(8) + struct.pack(">I", len(section)) + section + bytes(2) + samples.transpose(2, 0, 1).tobytes()
    )


def sgi(samples: Pixels) -> bytes:
    header = struct.pack(">HBBHHHH", 474, 0, 1, 3, WIDTH, HEIGHT, 4).ljust(512, b"\0")
    return header + samples[::-1].transpose(2, 0, 1).tobytes()


def other_cases() -> dict[str, Case]:
    bgra_0, bgra = with_fourth(0)[..., BGRA], with_fourth(ALPHA)[..., BGRA]
    blended = on_white(RGB, ALPHA)
    length = 18 + bgra.size
    index = (np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 16).astype(np.uint8)
    palette = RGB.reshape(-1, 3)[:16]
    mapped = struct.pack("<BBBHHB4xHHBB", 0, 1, 1, 0, 16, 32, WIDTH, HEIGHT, 8, 0x20)
    mapped += np.pad(palette[:, ::-1], ((0, 0), (0, 1))).tobytes() + index.tobytes()
    fives = (RGB >> 3).astype(np.uint16)
    short = fives[..., 0] << 10 | fives[..., 1] << 5 | fives[..., 2]
    seen = ((fives * 255 + 15) // 31).astype(np.uint8)
    return {
        "TGA: fourth byte 0": (tga(bgra_0, 32), RGB),
        "TGA: fourth byte 0, 8 bits of alpha stated": (tga(bgra_0, 32, attributes=8), RGB),
        "TGA: fourth byte 0, run lengths": (tga(np.frombuffer(run_lengths(bgra_0), np.uint8), 32, 10), RGB),
        "TGA: alpha": (tga(bgra, 32, attributes=8), blended),
        "TGA: alpha, of which no bits are stated": (tga(bgra, 32), blended),
        "TGA: palette, fourth byte 0": (mapped, palette[index]),
        **{
            f"TGA: 16 bits, highest bit {bit}": (tga((short | bit << 15).astype("<u2").view(np.uint8), 16), seen)
            for bit in (0, 1)
        },
        "TGA: grey, second byte 0": (tga(np.dstack([GREY, np.zeros_like(GREY)]), 16, 3), grey(GREY)),
        **{
            f"TGA: fourth byte stated as type {kind}": (
                tga(bgra, 32, attributes=8, footer=tga_footer(length, kind)),
                blended if kind == 3 else RGB,
            )
            for kind in (0, 1, 2, 3)
        },
        "DDS: fourth byte 0": (dds(bgra_0), RGB),
        "DDS: alpha": (dds(bgra), blended),
        "PSD: fourth channel 0": (psd(with_fourth(0), -1), RGB),
        "PSD: fourth channel is transparency": (psd(with_fourth(ALPHA), -1), blended),
        "PSD: fourth channel is a selection, no layers": (psd(with_fourth(ALPHA), None), RGB),
        "PSD: fourth channel is a selection": (psd(with_fourth(ALPHA), 1), RGB),
        "SGI: fourth channel 0": (sgi(with_fourth(0)), RGB),
        "SGI: alpha": (sgi(with_fourth(ALPHA)), blended),
    }


def saved(pixels: Pixels, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()


def of_depth(codestream: bytes, bits: int, components: int = 1) -> bytes:
    """A codestream that says to have samples of so many bits; the samples' mean stays in the middle of the range."""
    changed = bytearray(codestream)
    changed[42 : 42 + 3 * components : 3] = bytes([bits - 1]) * components
    return bytes(changed)


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def jpeg_2000_of_palette(codestream: bytes, bits: int, palette: Pixels) -> bytes:
    header = box(b"ihdr", struct.pack(">IIHBBBB", HEIGHT, WIDTH, 1, bits - 1, 7, 0, 0))
    header += box(b"colr", struct.pack(">BBBI", 1, 0, 0, 16))
    header += box(b"pclr", struct.pack(">HB3B", len(palette), 3, 7, 7, 7) + palette.tobytes())
    header += box(b"cmap", b"".join(struct.pack(">HBB", 0, 1, column) for column in range(3)))
    start = box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    return start + box(b"jp2h", header) + box(b"jp2c", codestream)


def _shallow_jpeg_2000_cases() -> dict[str, Case]:
    cases = {}
    for bits in (1, 2, 4, 7):
        most = 2**bits - 1
        middle = 128 - (1 << (bits - 1))
        grey_bits, rgb_bits = GREY >> (8 - bits), RGB >> (8 - bits)
        cases[f"JPEG 2000: grey of {bits} bits"] = (
            of_depth(saved(grey_bits + middle, "JPEG2000", no_jp2=True), bits),
            grey((grey_bits.astype(int) * 255 // most).astype(np.uint8)),
        )
        cases[f"JPEG 2000: RGB of {bits} bits"] = (
            of_depth(saved((rgb_bits + middle).astype(np.uint8), "JPEG2000", no_jp2=True), bits, 3),
            (rgb_bits.astype(int) * 255 // most).astype(np.uint8),
        )
    index = (np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 16).astype(np.uint8)
    palette = RGB.reshape(-1, 3)[:16].copy()
    palette[7] = palette[3]
    four = of_depth(saved(index + 120, "JPEG2000", no_jp2=True), 4)
    eight = saved(index, "JPEG2000", no_jp2=True)
    cases["JPEG 2000: palette"] = (jpeg_2000_of_palette(eight, 8, palette), palette[index])
    cases["JPEG 2000: palette, 4 bits"] = (jpeg_2000_of_palette(four, 4, palette), palette[index])
    return cases


def jpeg_2000_cases() -> dict[str, Case]:
    grey_alpha = np.dstack([GREY, ALPHA])
    return _shallow_jpeg_2000_cases() | {
        "JPEG 2000: grey": (saved(GREY, "JPEG2000"), grey(GREY)),
        "JPEG 2000: grey with alpha": (saved(grey_alpha, "JPEG2000"), on_white(grey(GREY), ALPHA)),
        "JPEG 2000: RGB": (saved(RGB, "JPEG2000"), RGB),
        "JPEG 2000: codestream": (saved(RGB, "JPEG2000", no_jp2=True), RGB),
        "JPEG 2000: alpha": (saved(with_fourth(ALPHA), "JPEG2000"), on_white(RGB, ALPHA)),
        "JPEG 2000: 16 bits": (saved(GREY.astype(np.uint16) * 257, "JPEG2000"), grey(GREY)),
    }


def cases() -> dict[str, Case]:
    return png_cases() | bmp_cases() | icon_cases() | tiff_cases() | other_cases() | jpeg_2000_cases()

"""OpenCV judges our pixels: they are within 2 grey levels of its own, a table states why not, or we reject the image.

OpenCV composites no alpha, and gives deep samples as they are stored. So each image is compared with the few fair
readings of what OpenCV gives. The counts are printed (`pytest -rP`).
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from siglip_core import ImageError, images
from tests.conftest import SHARED_DATA
from tests.siglip_core.images import drawn
from tests.siglip_core.images.drawn import Pixels

LEVELS = 2

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


class Reason(NamedTuple):
    """Why OpenCV gives other pixels, and what must hold all the same."""

    text: str
    holds: Literal["turned", "inverted", "but for white", "unread", "rejected", "nothing"]
    """The pixels agree: after a turn or mirroring; as the negative; where ours are not white. "unread": OpenCV does not
    read the file. "rejected": we do not."""


NOT_READ = "OpenCV does not read this format"
NO_KEY = Reason("OpenCV ignores the transparent colour of grey", "but for white")
NOT_INVERTED = Reason("OpenCV gives these samples as stored, also where 0 is white", "inverted")
OTHER_TURNS = Reason("OpenCV turns JPEG and PNG by EXIF, and nothing else", "turned")
SHALLOW = Reason("OpenCV does not read JPEG 2000 of under 8 bits", "unread")
INCOMPLETE = Reason("OpenCV fills up what is missing with grey", "rejected")
STRICTER = "OpenCV refuses what browsers and Pillow show"

# The longest beginning of a name that matches a file's counts.
DRAWN: Mapping[str, Reason] = {
    **{f"{form}: ": Reason(NOT_READ, "unread") for form in ("ICO", "CUR", "TGA", "DDS", "PSD", "SGI")},
    "PNG: animation without content": Reason(STRICTER, "unread"),
    "PNG: a text behind the pixels that is cut off": Reason(STRICTER, "unread"),
    "PNG: all of it": Reason(f"{STRICTER}: animation without content", "unread"),
    "PNG: a damaged chunk beside XMP orientation": OTHER_TURNS,
    "PNG: a damaged chunk beside an orientation in a compressed text": OTHER_TURNS,
    "PNG: transparent grey of": NO_KEY,
    "JPEG 2000: grey with alpha": Reason("OpenCV drops alpha of grey", "nothing"),
    **{f"JPEG 2000: {kind} of {bits} bits": SHALLOW for kind in ("grey", "RGB") for bits in (1, 2, 4, 7)},
    "JPEG 2000: palette": Reason(NOT_READ, "unread"),
    "TIFF: white is 0, 12 bits": NOT_INVERTED,
    "TIFF: white is 0, 32 bits": NOT_INVERTED,
    "TIFF: white is 0, floating point": NOT_INVERTED,
}
ODD: Mapping[str, Reason] = {
    "avif__rot": OTHER_TURNS,
    "avif__xmp_tags_orientation.avif": OTHER_TURNS,
    "hopper_orientation_": OTHER_TURNS,
    "xmp_tags_orientation.png": OTHER_TURNS,
    "i_trns.png": NO_KEY,
    **dict.fromkeys(["photo_cut_", "photo_no_eoi.jpg", "truncated_jpeg.jpg", "ultrahdr.jpg"], INCOMPLETE),
    "hopper_unknown_pixel_mode.tif": Reason("Pillow does not read RGB of 32 bits a sample", "rejected"),
    "png_1bit_12000x12000.png": Reason("above the limit of pixels", "rejected"),
    "bmp__b__badheadersize.bmp": Reason("OpenCV takes a header of 66 bytes for one of 40", "rejected"),
    "hopper.Lab.tif": Reason(
        "Pillow takes the white point of Lab as D50, as ICC does; libtiff does not adapt it", "nothing"
    ),
    "10ct_32bit_128.tiff": Reason(f"{NOT_READ}: tiles of floating point", "unread"),
    "avif__hopper.heif": Reason(NOT_READ, "unread"),
    "background_outside_palette.gif": Reason(STRICTER, "unread"),
    "no_palette_with_background.gif": Reason(STRICTER, "unread"),
    "bmp__b__badrle.bmp": Reason(STRICTER, "unread"),
    "hopper_rle8_row_overflow.bmp": Reason(STRICTER, "unread"),
    "tiff_strip_cmyk_16l_jpeg.tif": Reason(f"{NOT_READ}: CMYK of JPEG strips", "unread"),
    **{name: Reason(NOT_READ, "unread") for name in ("hopper.fits", "hopper.ico", "hopper.im", "hopper.sgi", "la.tga")},
    **{name: Reason(NOT_READ, "unread") for name in ("hopper_unexpected.ico", "psd-oob-write", "rgba16.tga")},
    **{name: Reason(NOT_READ, "unread") for name in ("transparent.sgi", "zero_mask_totals.dds")},
}
REPORTS: Mapping[str, Reason] = {
    **{f"25-roundtrip/{name}": Reason(NOT_READ, "unread") for name in ("e.ico", "h.tga", "i.qoi", "j.dib")},
}


def readings(path: Path) -> Iterator[Pixels]:
    """RGB of what OpenCV gives: in colour, where it drops alpha; and of what is stored, on white."""
    for flags in (cv2.IMREAD_COLOR, cv2.IMREAD_UNCHANGED):
        for found in (_decoded(path, flags), _read(path, flags)):
            if found is not None:
                yield from _in_rgb(found)


def _decoded(path: Path, flags: int) -> NDArray[np.generic] | None:
    data = np.frombuffer(path.read_bytes(), np.uint8)
    try:
        return cv2.imdecode(data, flags) if data.size else None
    except cv2.error:  # too large
        return None


def _read(path: Path, flags: int) -> NDArray[np.generic] | None:
    """By the file's own reader: of an animated PNG, it gives the first picture. It also gives parts of cut JPEGs."""
    try:
        return cv2.imread(str(path), flags)
    except cv2.error:
        return None


def _in_rgb(found: NDArray[np.generic]) -> Iterator[Pixels]:
    for samples in _eight_bit(found if found.ndim == 3 else found[..., None]):
        is_grey = samples.shape[2] < 3
        colours = samples[..., :1].repeat(3, axis=2) if is_grey else samples[..., 2::-1]
        if samples.shape[2] in (1, 3):
            yield colours
        else:
            alpha = samples[..., -1]
            yield drawn.on_white(colours, alpha)
            yield (colours + np.minimum(255 - alpha[..., None], 255 - colours)).astype(np.uint8)  # TIFF: colour x alpha


def _eight_bit(found: NDArray[np.generic]) -> Iterator[Pixels]:
    if found.dtype == np.uint8:
        yield found.astype(np.uint8)
    elif found.dtype == np.uint16:
        yield (found >> 8).astype(np.uint8)
        yield (found >> max(int(found.max()).bit_length() - 8, 0)).astype(np.uint8)  # 9 to 15 bits are given as such
    else:
        samples = found.astype(np.float64)
        low, high = samples.min(), samples.max()
        yield np.rint((samples - low) * (255 / (high - low))).astype(np.uint8)


def agree(ours: Pixels, theirs: Pixels, where: NDArray[np.bool_] | None = None) -> bool:
    if ours.shape != theirs.shape:
        return False
    apart = np.abs(ours.astype(int) - theirs).max(axis=2)
    return bool((apart if where is None else apart[where]).max(initial=0) <= LEVELS)


def holds(reason: Reason, ours: Pixels | None, theirs: list[Pixels]) -> bool:
    if ours is None or reason.holds == "rejected":
        return ours is None and reason.holds == "rejected"
    match reason.holds:
        case "unread":
            return not theirs
        case "turned":
            turns = [np.rot90(side, count) for side in (ours, ours[:, ::-1]) for count in range(4)]
            return any(agree(turn, each) for turn in turns for each in theirs)
        case "inverted":
            return any(agree(255 - ours, each) for each in theirs)
        case "but for white":
            return any(agree(ours, each, (ours != 255).any(axis=2)) for each in theirs)
        case "nothing":
            return bool(theirs)


def judge(files: Mapping[str, Path], reasons: Mapping[str, Reason], what: str) -> None:
    """Fails if a file has other pixels without a reason, and if a reason is no longer one."""
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    used: set[str] = set()
    for name, path in files.items():
        try:
            ours: Pixels | None = images.read(path.read_bytes()).upright
        except ImageError:
            ours = None
        # of what we reject, it only counts whether there is a reading
        theirs = list(islice(readings(path), 1 if ours is None else None))
        if ours is None and not theirs:
            counts["rejected by both"] += 1
        elif ours is not None and any(agree(ours, each) for each in theirs):
            counts["agree"] += 1
        else:
            key = max((start for start in reasons if name.startswith(start)), key=len, default=None)
            if key is None or not holds(reasons[key], ours, theirs):
                wrong.append(name)
                continue
            used.add(key)
            named = {"unread": "not read by OpenCV", "rejected": "rejected by us"}
            counts[named.get(reasons[key].holds, "differ with a reason")] += 1
    print(f"{what}: {len(files)} files: {dict(counts)}")
    assert not wrong
    assert used == set(reasons)


def test_drawn_images(tmp_path: Path) -> None:
    files = {}
    for number, (name, (data, _)) in enumerate(drawn.cases().items()):
        files[name] = tmp_path / str(number)
        files[name].write_bytes(data)
    judge(files, DRAWN, "drawn")


@pytest.mark.skipif(not (SHARED_DATA / "odd/images").is_dir(), reason="../shared/data/odd/images is not here")
def test_odd_images_of_other_projects() -> None:
    files = {path.name: path for path in sorted((SHARED_DATA / "odd/images").rglob("*")) if path.is_file()}
    judge(files, ODD, "odd")


@pytest.mark.skipif(not (SHARED_DATA / "reports").is_dir(), reason="../shared/data/reports is not here")
def test_images_of_bug_reports() -> None:
    root = SHARED_DATA / "reports"
    files = {str(path.relative_to(root)): path for path in sorted(root.rglob("*")) if path.is_file()}
    judge(files, REPORTS, "reports")

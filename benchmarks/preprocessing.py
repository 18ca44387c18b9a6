"""Decoding and resizing: Pillow's full decode and resize, ours `exact` and ours `fast`, on one thread.

    python -m benchmarks.preprocessing [PHOTOS] [VECTORS]

Prints two tables in Markdown. The first has CPU time, medians of rounds in which the three take turns, on JPEGs made
from real photos: enlarged, or (mosaic) laid side by side at their own size, which has more detail than a photo of that
size.

The second compares pixels and vectors of PHOTOS real photos (1,000; with 0 it is left out): at their own size, and for
`fast` also enlarged, as few of them are large enough for it. siglip-pico embeds them, and a random B/16 the first
VECTORS (200) of them. Photos are those of ../shared/data where that is, else those of demo/.
"""

from __future__ import annotations

import io
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

import siglip_core
from benchmarks.gpu import random_encoder
from siglip_core.encoder import Encoder
from siglip_core.preprocess import decode
from siglip_core.resize import target
from siglip_core.similarity import cosine
from siglip_core.variants import PUBLISHED, Preprocessing

Pixels = NDArray[np.uint8]

ROOT = Path(__file__).parents[1]
FOLDERS = (ROOT.parent / "shared/data/real", ROOT / "demo/photos")
SIZES = ((640, 480), (1600, 1200), (4000, 3000))
MODELS = ("siglip-base-patch16-224", "siglip-so400m-patch14-384", "siglip2-base-patch16-naflex")
RESAMPLINGS = {
    spec.preprocessing.identity: spec.preprocessing
    for spec in PUBLISHED.values()
    if spec.preprocessing.resolution < 512
}
OF_EACH_SIZE, ROUNDS = 4, 9
LARGE = (1600, 1200)


def photos() -> list[Path]:
    """Real photos, in an order that mixes their sets."""
    folder = next(folder for folder in FOLDERS if folder.is_dir())
    found = sorted(folder.rglob("*.jp*g"))
    return [found[place] for place in np.random.default_rng(0).permutation(len(found))]


def by_pillow(data: bytes, preprocessing: Preprocessing) -> Pixels:
    image: Image.Image = Image.open(io.BytesIO(data))
    ImageOps.exif_transpose(image, in_place=True)
    image = image.convert("RGB")
    size = target(image.height, image.width, preprocessing)
    bicubic = preprocessing.name == "hf-bicubic-aa"
    return np.array(image.resize(size[::-1], Image.Resampling.BICUBIC if bicubic else Image.Resampling.BILINEAR))


def as_jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()


def enlarged(photo: Path, size: tuple[int, int]) -> bytes:
    with Image.open(photo) as image:
        upright = image.convert("RGB")
    if (upright.width < upright.height) != (size[0] < size[1]):
        upright = upright.transpose(Image.Transpose.ROTATE_90)
    return as_jpeg(upright.resize(size, Image.Resampling.BICUBIC))


def mosaic(parts: Sequence[Path], size: tuple[int, int]) -> bytes:
    made, side = Image.new("RGB", size), 300
    for place in range(-(-size[0] // side) * -(-size[1] // side)):
        row, column = divmod(place, -(-size[0] // side))
        with Image.open(parts[place % len(parts)]) as image:
            made.paste(image.convert("RGB").crop((0, 0, side, side)), (column * side, row * side))
    return as_jpeg(made)


def psnr(ours: Pixels, theirs: Pixels) -> float:
    """dB; 99 for equal pixels."""
    error = float(((ours.astype(float) - theirs) ** 2).mean())
    return 99.0 if error == 0 else 10 * np.log10(255**2 / error)


def furthest(ours: Pixels, theirs: Pixels) -> int:
    return int(np.abs(ours.astype(int) - theirs).max())


def in_turns(calls: Sequence[Callable[[], object]]) -> list[float]:
    """Milliseconds of one core for each: the median of the rounds."""
    spent: list[list[float]] = [[] for _ in calls]
    for round_ in range(ROUNDS + 1):
        for call, of_call in zip(calls, spent, strict=True):
            began = time.process_time()
            call()
            if round_:  # the first warms up
                of_call.append(1000 * (time.process_time() - began))
    return [statistics.median(of_call) for of_call in spent]


def speed(found: list[Path]) -> Iterator[str]:
    yield "| to | from | Pillow ms | `exact` ms | times | `fast` ms | times | `exact`: furthest | `fast`: PSNR, worst |"
    yield "|---|---|---|---|---|---|---|---|---|"
    large = [photo for photo in found if min(Image.open(photo).size) >= 300]
    kinds = {
        "enlarged": lambda size: [enlarged(photo, size) for photo in large[:OF_EACH_SIZE]],
        "mosaic": lambda size: [mosaic(large[first:], size) for first in range(OF_EACH_SIZE)],
    }
    for size in SIZES:
        for kind, make in kinds.items():
            data = make(size)
            for model in MODELS:
                exact = PUBLISHED[f"google/{model}"].preprocessing
                fast = replace(exact, decoding="fast")
                theirs, ours, faster = in_turns(
                    [
                        lambda exact=exact, data=data: [by_pillow(each, exact) for each in data],
                        lambda exact=exact, data=data: [decode(each, exact) for each in data],
                        lambda fast=fast, data=data: [decode(each, fast) for each in data],
                    ]
                )
                off = max(furthest(decode(each, exact).pixels, by_pillow(each, exact)) for each in data)
                truth = min(psnr(decode(each, fast).pixels, decode(each, exact).pixels) for each in data)
                yield (
                    f"| {exact.identity} | {size[0]}x{size[1]}, {kind} | {theirs / len(data):.2f} | "
                    f"{ours / len(data):.2f} | {theirs / ours:.2f} | {faster / len(data):.2f} | "
                    f"{theirs / faster:.2f} | {off} | {truth:.1f} |"
                )


def truth(found: list[Path], vectors: int) -> Iterator[str]:
    """How far pixels and vectors are from those of the slower way."""
    yield "| compared | photos that differ | furthest | PSNR dB, median | worst | cosine, median | worst |"
    yield "|---|---|---|---|---|---|---|"
    originals = [photo.read_bytes() for photo in found]
    pico = siglip_core.load("siglip-pico")
    of_pico = pico.spec.preprocessing
    for exact in (of_pico, *RESAMPLINGS.values()):
        theirs = [by_pillow(data, exact) for data in originals]
        ours = [decode(data, exact).pixels for data in originals]
        encoder = pico if exact == of_pico else None
        yield compared(f"`exact` to Pillow, {exact.identity}", theirs, ours, encoder)
    large = [enlarged(photo, LARGE) for photo in found]
    for name, images in (("own size", originals), (f"enlarged to {LARGE[0]}x{LARGE[1]}", large)):
        yield compared(f"`fast` to `exact`, {name}, siglip-pico", *both(images, of_pico), pico)
    base = siglip_core.spec("siglip-base-patch16-224")
    slower, faster = both(large[:vectors], base.preprocessing)
    for dtype in (torch.float32, torch.bfloat16):
        name = f"random B/16 in {str(dtype).removeprefix('torch.')}"
        yield compared(f"the same, {name}", slower, faster, random_encoder(base, "cpu", dtype))


def both(images: Sequence[bytes], exact: Preprocessing) -> tuple[list[Pixels], list[Pixels]]:
    """The pixels of `exact` and of `fast`."""
    slower = [decode(data, exact).pixels for data in images]
    return slower, [decode(data, replace(exact, decoding="fast")).pixels for data in images]


def compared(name: str, slower: Sequence[Pixels], faster: Sequence[Pixels], encoder: Encoder | None) -> str:
    """A line of the table, about the photos whose pixels differ."""
    differ = [index for index, both in enumerate(zip(slower, faster, strict=True)) if furthest(*both)]
    pairs = [(slower[index], faster[index]) for index in differ]
    off = max(furthest(*pair) for pair in pairs)
    decibels = [psnr(*pair) for pair in pairs]
    line = f"| {name} | {len(pairs)} of {len(slower)} | {off} | {np.median(decibels):.1f} | {min(decibels):.1f} | "
    if encoder is None:
        return line + " | |"
    cosines = cosine(*(vectors_of(encoder, pixels) for pixels in zip(*pairs, strict=True)))
    return line + f"{np.median(cosines):.7f} | {cosines.min():.7f} |"


def vectors_of(encoder: Encoder, pixels: Sequence[Pixels]) -> NDArray[np.float32]:
    parts = [pixels[first : first + 32] for first in range(0, len(pixels), 32)]
    return np.concatenate([encoder.encode_image(part).numpy() for part in parts])


def main(count: str = "1000", vectors: str = "200") -> None:
    found = photos()
    for line in speed(found):
        print(line, flush=True)
    print()
    for line in truth(found[: int(count)], int(vectors)) if int(count) else ():
        print(line, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

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
    return np.asarray(image.resize(size[::-1], Image.Resampling.BICUBIC if bicubic else Image.Resampling.BILINEAR))


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
    yield "| compared | photos | pixels | cosine, median | cosine, worst |"
    yield "|---|---|---|---|---|"
    originals = [photo.read_bytes() for photo in found]
    for identity, exact in RESAMPLINGS.items():
        off = max(furthest(decode(data, exact).pixels, by_pillow(data, exact)) for data in originals)
        yield f"| `exact` to Pillow, {identity} | {len(originals)} | furthest {off} | | |"
    pico = siglip_core.load("siglip-pico")
    yield compared("own size, siglip-pico", pico, originals)
    large = [enlarged(photo, LARGE) for photo in found]
    yield compared(f"{LARGE[0]}x{LARGE[1]}, siglip-pico", pico, large)
    for dtype in (torch.float32, torch.bfloat16):
        random = random_encoder(siglip_core.spec("siglip-base-patch16-224"), "cpu", dtype)
        yield compared(f"{LARGE[0]}x{LARGE[1]}, random B/16, {dtype}", random, large[:vectors])


def compared(name: str, encoder: Encoder, images: Sequence[bytes]) -> str:
    exact = encoder.spec.preprocessing
    pixels = [[decode(data, replace(exact, decoding=how)).pixels for data in images] for how in ("exact", "fast")]
    decibels = [psnr(ours, theirs) for ours, theirs in zip(*pixels, strict=True)]
    with torch.inference_mode():
        both = [np.concatenate([encoder.encode_image(list(some)).numpy() for some in grouped(of)]) for of in pixels]
    cosines = cosine(*both)
    changed = sum(value < 99 for value in decibels)
    return (
        f"| `fast` to `exact`, {name} ({changed} decoded to less) | {len(images)} | PSNR median "
        f"{statistics.median(decibels):.1f}, worst {min(decibels):.1f} dB | {np.median(cosines):.6f} | "
        f"{cosines.min():.6f} |"
    )


def grouped(pixels: Sequence[Pixels]) -> Iterator[Sequence[Pixels]]:
    for first in range(0, len(pixels), 32):
        yield pixels[first : first + 32]


def main(count: str = "1000", vectors: str = "200") -> None:
    found = photos()
    for line in speed(found):
        print(line, flush=True)
    print()
    for line in truth(found[: int(count)], int(vectors)) if int(count) else ():
        print(line, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

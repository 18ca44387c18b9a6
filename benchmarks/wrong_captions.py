"""Sets of pairs whose captions are made wrong in known ways, for the benchmarks of estimates and of labels.

A set is an npz with `image` and `text` [N, D], and `image_id` [N]. Beside those of a folder there is one of 20,000
simulated pairs, with the cosines of CLIP on COCO, and one of 20,000 drawn scenes, whose vectors come into SCENES.npz
(made where it is not there, in a minute). Captions are made wrong in these ways:

    random      other pairs' captions
    similar     the caption of one of the five most similar images
    in-class    other captions of the same one of 20 clusters of images
    generic     captions that score two thirds as high with any image as right ones do with theirs
    mixed       half random, half similar
    attribute   one attribute changed (scenes)
    none        no caption is wrong
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from random import Random

import numpy as np
import numpy.typing as npt

import siglip_core
from pipeline.mismatch.normalised import NormalisedScores
from pipeline.mismatch.pairs import Pairs
from pipeline.mismatch.reference import Reference
from pipeline.scoring.signals.normalised_score import score as normalised
from scenes import corrupt
from scenes.draw import jpeg
from scenes.plan import described
from siglip_core import normalised_score

LARGE, SCENES, SIZE = 20_000, 20_000, 64
SEED, SPLIT = 11, "train"

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Set:
    name: str
    images: Floats
    texts: Floats
    ids: Rows
    """equal for equal images"""
    scale: float
    """the temperature of the normalised score is 1 / scale"""
    changed: Floats | None = None
    """each caption with one attribute changed"""

    @property
    def is_large(self) -> bool:
        return len(self.images) > 5000


@dataclass(frozen=True)
class Corrupted:
    pairs: Pairs
    wrong: Flags
    scale: float

    def scores(self, by: str) -> Floats:
        if by == "cosine":
            return self.pairs.cosines()
        images, texts = self.pairs.image_vectors, self.pairs.text_vectors
        uids = [str(row) for row in range(len(images))]
        return normalised(uids, images, texts, Reference(uids, images, texts), 1 / self.scale)


def normalised_scores(made: Corrupted) -> NormalisedScores:
    """As of a table that holds these pairs alone."""
    images, texts = made.pairs.image_vectors, made.pairs.text_vectors
    own, temperature = np.arange(len(images)), 1 / made.scale
    sums = [normalised_score.log_sums(x, y, own, temperature) for x, y in ((images, texts), (texts, images))]
    scores = made.scores("normalised_score")
    return NormalisedScores(scores, sums[0], sums[1], np.ones(len(images), bool), temperature, scores)


def unit(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def simulated(count: int, seed: int = 0) -> Set:
    """Vectors with a modality gap and a spectrum of meanings as CLIP's: matched .31, random .16, nearest .27."""
    rng = np.random.default_rng(seed)
    meanings, dimension, base, gain, of_images = 120, 512, 0.162, 0.148, 0.45
    spectrum = np.arange(1, meanings + 1) ** -1.25
    meaning = unit(rng.normal(size=(count, meanings)) * np.sqrt(spectrum / spectrum.sum()))
    images, texts = np.zeros((count, dimension)), np.zeros((count, dimension))
    images[:, :meanings] = np.sqrt(of_images) * meaning
    clear = rng.normal(1, 0.12, (count, 1)).clip(0.2, 2)
    texts[:, :meanings] = gain / np.sqrt(of_images) * meaning * clear
    images[:, meanings] = texts[:, meanings] = np.sqrt(base)
    images[:, meanings + 1], texts[:, meanings + 2] = 0.5, 0.6  # the gap
    for vectors in (images, texts):
        rest = np.maximum(1 - (vectors**2).sum(axis=1, keepdims=True), 0)
        vectors += unit(rng.normal(size=vectors.shape)) * np.sqrt(rest)
    return Set("simulated, 20,000", _float32(unit(images)), _float32(unit(texts)), np.arange(count), 100.0)


def drawn_scenes(file: Path) -> Set:
    if not file.exists():
        _draw_scenes(file)
    with np.load(file) as arrays:
        images, texts, changed, scale = (arrays[name] for name in ("image", "text", "changed", "scale"))
    return Set("scenes, 20,000", images, texts, np.arange(len(images)), float(scale), changed)


def _draw_scenes(file: Path) -> None:
    encoder = siglip_core.load("siglip-pico")
    scenes = [described(SEED, SPLIT, index) for index in range(SCENES)]
    changed = [
        corrupt.attribute(picture, SPLIT, Random(f"{SEED}/{i}"), f"{SEED}/{SPLIT}/{i}/words").text
        for i, (picture, _) in enumerate(scenes)
    ]

    def texts(captions: Sequence[str]) -> Floats:
        return np.concatenate([encoder.encode_text(list(captions[i : i + 512])) for i in range(0, SCENES, 512)])

    images = []
    for start in range(0, SCENES, 500):
        pixels = [encoder.preprocess(jpeg(picture, SIZE)) for picture, _ in scenes[start : start + 500]]
        images.append(np.asarray(encoder.encode_image(np.stack(pixels))))
    buffer = BytesIO()
    np.savez(
        buffer,
        image=np.concatenate(images),
        text=texts([caption.text for _, caption in scenes]),
        changed=texts(changed),
        scale=encoder.logit_scale,
    )
    file.write_bytes(buffer.getvalue())


def sets(folder: Path, scenes: Path) -> Iterator[Set]:
    for file in sorted(folder.glob("*.npz")):
        with np.load(file) as arrays:
            ids = np.unique(arrays["image_id"], return_inverse=True)[1]
            yield Set(file.stem, _float32(arrays["image"]), _float32(arrays["text"]), ids, 100.0)
    yield simulated(LARGE)
    yield drawn_scenes(scenes)


def corrupted(data: Set, how: str, share: float, seed: int) -> Corrupted | None:
    """The set with this share of its captions made wrong; None if it cannot be made so."""
    rng = np.random.default_rng([seed, len(how)])
    count = len(data.images)
    chosen = np.flatnonzero(rng.random(count) < share)
    texts, caption = data.texts.copy(), np.arange(count)
    if how == "attribute":
        if data.changed is None:
            return None
        texts[chosen], caption[chosen] = data.changed[chosen], count + chosen
    elif how == "generic":
        texts[chosen], caption[chosen] = _generic(data, len(chosen), rng), count + chosen
    else:
        half = len(chosen) // 2 if how == "mixed" else 0
        caption[chosen[half:]] = _others(data, chosen[half:], "random" if how == "mixed" else how, rng)
        caption[chosen[:half]] = _others(data, chosen[:half], "similar", rng)
        texts = data.texts[caption]
    # An equal caption, or one of the same image, is not wrong.
    wrong = (texts * data.texts).sum(axis=1) <= 0.9995
    known = caption < count
    wrong[known] &= data.ids[caption[known]] != data.ids[known]
    _, texts_alike = np.unique(np.round(texts, 5), axis=0, return_inverse=True)
    return Corrupted(Pairs(data.images, texts, data.ids.astype(np.int64), texts_alike.ravel()), wrong, data.scale)


def _others(data: Set, rows: Rows, how: str, rng: np.random.Generator) -> Rows:
    if how == "random":
        return rng.permutation(rows)
    if how == "in-class":
        centres = data.images[rng.choice(len(data.images), 20, replace=False)]
        cluster = (data.images @ centres.T).argmax(axis=1)
        return np.array([rng.choice(np.flatnonzero(cluster == cluster[row])) for row in rows], np.intp)
    found = []
    for start in range(0, len(rows), 1000):
        part = rows[start : start + 1000]
        likeness = data.images[part] @ data.images.T
        likeness[data.ids[part][:, None] == data.ids[None]] = -2
        near = np.argpartition(-likeness, 5, axis=1)[:, :5]
        found.append(near[np.arange(len(part)), rng.integers(0, 5, len(part))])
    return np.concatenate(found) if found else rows


def _generic(data: Set, count: int, rng: np.random.Generator) -> Floats:
    mean = data.images.mean(axis=0)
    own = float((data.images * data.texts).sum(axis=1).mean())
    others = float((data.images * data.texts[rng.permutation(len(data.texts))]).sum(axis=1).mean())
    along = min(0.99, (others + (own - others) * 2 / 3) / float(np.linalg.norm(mean)))
    direction = mean / np.linalg.norm(mean)
    across = rng.normal(size=(count, len(mean)))
    across -= (across @ direction)[:, None] * direction
    return _float32(along * direction + np.sqrt(1 - along**2) * unit(across))


def _float32(vectors: npt.NDArray[np.float64]) -> Floats:
    return vectors.astype(np.float32)


def oracle(scores: Floats, wrong: Flags, share: float) -> int:
    """How many pairs the lowest cut keeps of which at most this share is wrong; 0 if there is none."""
    so_far = np.cumsum(wrong[np.argsort(-scores, kind="stable")])
    met = np.flatnonzero(so_far <= share * np.arange(1, len(scores) + 1))
    return int(met[-1]) + 1 if len(met) else 0

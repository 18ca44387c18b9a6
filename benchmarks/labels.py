"""How often a certified cut is wrong, and what it keeps: labels are simulated from the truth.

    python -m benchmarks.labels FOLDER SCENES.npz [RUNS]     the table; FOLDER has sets of vectors, *.npz
    python -m benchmarks.labels FOLDER SCENES.npz designs    where labels are drawn, compared

A set is an npz with `image` and `text` [N, D], and `image_id` [N]. Beside those of FOLDER there is one of 20,000
simulated pairs, with the cosines of CLIP on COCO, and one of 20,000 drawn scenes, whose vectors come into SCENES.npz
(made where it is not there, in a minute). Captions are made wrong in these ways:

    random      other pairs' captions
    similar     the caption of one of the five most similar images
    in-class    other captions of the same one of 20 clusters of images
    generic     captions that score two thirds as high with any image as right ones do with theirs
    mixed       half random, half similar
    attribute   one attribute changed (scenes)

Runs are divided: several draws of labels for each corrupted set. A run in which nothing is certified keeps 0.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from random import Random

import numpy as np
import numpy.typing as npt

import siglip_core
from pipeline.filtering.certified.design import Design, design, kept_share, uniform
from pipeline.filtering.certified.sequence import Labelled, certify
from pipeline.mismatch.pairs import Pairs
from pipeline.scoring.signals import Reference
from pipeline.scoring.signals.normalised_score import score as normalised
from scenes import corrupt
from scenes.draw import jpeg
from scenes.plan import described

ASKED = 0.05
RUNS = 200
COUNTS = (200, 400)
SCORES = ("cosine", "normalised_score")
LARGE, SCENES, SIZE = 20_000, 20_000, 64
SEED, SPLIT = 11, "train"
"""of the scenes"""
LARGE_SHARE = 0.3
"""the share of wrong captions in large sets, whose normalised scores take half a minute each"""
CASES = (
    *((how, 0.3) for how in ("random", "similar", "in-class", "generic", "mixed", "attribute")),
    *((how, share) for how in ("random", "similar") for share in (0.1, 0.6)),
)

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
    def corruptions(self) -> int:
        """How many corrupted sets share the runs."""
        return 3 if self.is_large else 40

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
            yield Set(file.stem, arrays["image"], arrays["text"], arrays["image_id"].astype(np.intp), 100.0)
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


@dataclass(frozen=True)
class Tally:
    runs: int
    too_many: int
    """runs in which more than ASKED of the kept pairs were wrong"""
    none: int
    """runs in which nothing was certified"""
    kept: float
    """mean of the kept pairs over those of an oracle"""
    oracle: float
    """the share of all pairs that it keeps"""


def tally(sides: Sequence[tuple[Floats, Flags, Design]], runs: int) -> Tally:
    kept, oracles, too_many = [], [], 0
    for number in range(runs):
        scores, wrong, made = sides[number % len(sides)]
        labels = _labels(scores, wrong, made, np.random.default_rng([number, 7]))
        found = certify(scores, made, labels, ASKED).certified
        keeps = scores >= (np.inf if found is None else found.threshold)
        too_many += bool(keeps.any() and wrong[keeps].mean() > ASKED)
        oracles.append(_oracle(scores, wrong))
        kept.append(keeps.sum() / max(1, oracles[-1]))
    count = len(sides[0][0])
    return Tally(
        runs, too_many, sum(share == 0 for share in kept), float(np.mean(kept)), float(np.mean(oracles)) / count
    )


def _labels(scores: Floats, wrong: Flags, made: Design, rng: np.random.Generator) -> Labelled:
    rows, above = [], np.inf
    for stratum in made.strata:
        inside = np.flatnonzero((scores >= stratum.lowest) & (scores < above))
        rows.append(rng.choice(inside, stratum.drawn, replace=False))
        above = stratum.lowest
    drawn = np.concatenate(rows)
    return Labelled(scores[drawn].astype(np.float64), wrong[drawn])


def _oracle(scores: Floats, wrong: Flags) -> int:
    """How many pairs the lowest cut keeps of which at most ASKED are wrong; 0 if there is none."""
    so_far = np.cumsum(wrong[np.argsort(-scores, kind="stable")])
    met = np.flatnonzero(so_far <= ASKED * np.arange(1, len(scores) + 1))
    return int(met[-1]) + 1 if len(met) else 0


Designer = Callable[[Floats, int, float | None], Design]


def sides_of(
    data: Set, how: str, share: float, scores: Sequence[str] = SCORES
) -> dict[str, list[tuple[Floats, Flags, float | None]]] | None:
    """Scores, truth and what shuffles say, of every corruption, by score."""
    found: dict[str, list[tuple[Floats, Flags, float | None]]] = {by: [] for by in scores}
    for seed in range(data.corruptions):
        made = corrupted(data, how, share, seed)
        if made is None:
            return None
        told = kept_share(made.pairs, ASKED, seed)
        for by, sides in found.items():
            sides.append((made.scores(by), made.wrong, told))
    return found


def table(folder: Path, scenes: Path, runs: int) -> None:
    print(f"{runs} runs, asked for {ASKED:.0%}; kept of the oracle's with {' and '.join(map(str, COUNTS))} labels\n")
    print("| set | wrong captions | score | oracle keeps | too many wrong | certified | kept of the oracle's |")
    print("|---|---|---|---|---|---|---|")
    for data in sets(folder, scenes):
        for how, share in CASES:
            if data.is_large and share != LARGE_SHARE:
                continue
            found = sides_of(data, how, share)
            for by, sides in (found or {}).items():
                tallies = [
                    tally([(scores, wrong, design(scores, count, told)) for scores, wrong, told in sides], runs)
                    for count in COUNTS
                ]
                too_many, certified, kept = (
                    " / ".join(words)
                    for words in zip(
                        *((str(t.too_many), str(t.runs - t.none), f"{t.kept:.2f}") for t in tallies), strict=True
                    )
                )
                name = f"{data.name} | {how} {share:.0%} | {by.partition('_')[0]} | {tallies[0].oracle:.0%}"
                print(f"| {name} | {too_many} | {certified} | {kept} |", flush=True)


def designs(folder: Path, scenes: Path, runs: int = RUNS // 2) -> None:
    drawings: dict[str, Designer] = {
        "evenly from all pairs": lambda scores, count, _: uniform(scores, count),
        "densely from the better half": lambda scores, count, _: design(scores, count, None),
        "as shuffles tell": design,
    }
    print(f"| set | wrong captions | score | {' | '.join(drawings)} |")
    print("|---|---|---|" + "---|" * len(drawings))
    for data in sets(folder, scenes):
        for how, share, by in (("random", 0.3, "cosine"), ("similar", 0.3, "normalised_score")):
            sides = (sides_of(data, how, share, [by]) or {})[by]
            kept = [
                tally([(scores, wrong, draw(scores, COUNTS[0], told)) for scores, wrong, told in sides], runs).kept
                for draw in drawings.values()
            ]
            words = " | ".join(f"{share:.2f}" for share in kept)
            print(f"| {data.name} | {how} {share:.0%} | {by.partition('_')[0]} | {words} |", flush=True)


def main(folder: str, scenes: str, number: str = str(RUNS)) -> None:
    if number == "designs":
        designs(Path(folder), Path(scenes))
    else:
        table(Path(folder), Path(scenes), int(number))


if __name__ == "__main__":
    main(*sys.argv[1:])

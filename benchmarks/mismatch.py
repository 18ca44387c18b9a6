"""How true `filter --max-mismatch-fraction 0.05` is: on drawn scenes, some of whose captions are wrong for certain.

    python -m benchmarks.mismatch POOL.npz [SEEDS]      the table; makes the pool where it is not there (minutes)
    python -m benchmarks.mismatch real [SHARE]          one dataset through scenes, embed, score and filter

The pool holds the vectors of 20,000 scenes, of their captions, and of a caption of a similar scene for each. A wrong
caption is another scene's or a similar one's, and its vector is in the pool already: so datasets of any seed are
composed from it, and `real` shows that one made by the commands comes out alike.

Columns: how often the filter could not tell; the mismatch fraction that it said and the true one of what it kept, mean
over the seeds; the worst true one of any seed and source; the least that it kept of what a cut on the same score keeps
that knows the truth; and how many seeds were within what is allowed in every source, or could not tell.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from random import Random

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

import siglip_core
from jobs import embed, filter, scenes, score  # noqa: A004
from pipeline.filtering.estimate import mismatch
from pipeline.filtering.estimate.mismatch import CannotTellError
from pipeline.filtering.estimate.shuffles import Pairs
from scenes import corrupt
from scenes.draw import jpeg
from scenes.plan import described

ASKED = 0.05
SCENES, SEED, SPLIT, SIZE = 20_000, 11, "train", 64


@dataclass(frozen=True)
class Case:
    name: str
    count: int
    shares: tuple[float, ...]
    """of wrong captions, of each source"""
    similar: float
    """the part of the wrong captions that are those of similar scenes, the others are any other scene's"""
    allowed: float = 0.065
    """the largest true mismatch fraction of what is kept, of all and of each source"""


CASES = (
    *(Case(f"20,000, {share:.0%} random", 20_000, (share,), 0.0) for share in (0.1, 0.3, 0.6)),
    *(Case(f"1,000, {share:.0%} random", 1_000, (share,), 0.0, allowed=0.08) for share in (0.1, 0.3, 0.6)),
    *(Case(f"20,000, {share:.0%} similar", 20_000, (share,), 1.0) for share in (0.1, 0.3, 0.6)),
    Case("20,000, 30% half random, half similar", 20_000, (0.3,), 0.5),
    Case("1,000, 30% similar", 1_000, (0.3,), 1.0),
    Case("20,000, three sources 10, 30, 60% random", 20_000, (0.1, 0.3, 0.6), 0.0),
    Case("20,000, three sources 10, 30, 60% similar", 20_000, (0.1, 0.3, 0.6), 1.0),
    Case("20,000, no wrong caption", 20_000, (0.0,), 0.0),
    Case("20,000, all wrong, random", 20_000, (1.0,), 0.0),
)

Vectors = npt.NDArray[np.float16]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Pool:
    images: Vectors
    captions: Vectors
    similar: Vectors
    weights: str
    """digest of the model that made them"""


@dataclass(frozen=True)
class Dataset:
    pairs: Pairs
    wrong: Flags
    sources: npt.NDArray[np.intp]


@dataclass(frozen=True)
class Outcome:
    """One dataset, or one source of it, after the filter."""

    kept: int
    wrong: int
    """of the kept"""
    oracle: int
    """how many a cut on the same score keeps that knows the truth"""
    estimate: float

    @property
    def truth(self) -> float:
        return self.wrong / self.kept


def make_pool(file: Path, model: str = "siglip-pico") -> None:
    encoder = siglip_core.load(model)
    scenes = [described(SEED, SPLIT, index) for index in range(SCENES)]
    similar = [corrupt.similar(picture, SPLIT, Random(f"{SEED}/{i}")).text for i, (picture, _) in enumerate(scenes)]

    def texts(captions: Sequence[str]) -> Vectors:
        parts = [encoder.encode_text(list(captions[i : i + 512])) for i in range(0, len(captions), 512)]
        return np.concatenate(parts).astype(np.float16)

    images = []
    for start in range(0, SCENES, 500):
        pixels = [encoder.preprocess(jpeg(picture, SIZE)) for picture, _ in scenes[start : start + 500]]
        images.append(encoder.encode_image(np.stack(pixels)))
    pool = (np.concatenate(images).astype(np.float16), texts([caption.text for _, caption in scenes]), texts(similar))
    buffer = BytesIO()
    np.savez(buffer, *pool, np.array(encoder.weights_digest))
    file.write_bytes(buffer.getvalue())


def read_pool(file: Path) -> Pool:
    with np.load(file) as arrays:
        images, captions, similar, weights = (arrays[f"arr_{number}"] for number in range(4))
    return Pool(images, captions, similar, str(weights))


def compose(
    pool: Pool, count: int, shares: Sequence[float], similar: float, seed: int, false: Callable[[int, int], bool]
) -> Dataset:
    """`count` pairs of as many sources as there are shares; that share of a source's captions is wrong.

    Of the wrong captions the part `similar` is of similar scenes, the others are other scenes'.
    """
    rng = np.random.default_rng(seed)
    rows = rng.choice(SCENES, count, replace=False)
    sources = np.arange(count) % len(shares)
    captions, wrong = pool.captions[rows].copy(), np.zeros(count, bool)
    for source, share in enumerate(shares):
        mine = rng.permutation(np.flatnonzero(sources == source))
        chosen = mine[: round(share * len(mine))]
        wrong[chosen] = True
        from_similar = round(similar * len(chosen))
        captions[chosen[:from_similar]] = pool.similar[rows[chosen[:from_similar]]]
        for place in chosen[from_similar:]:
            captions[place] = pool.captions[_another(rows[place], rng, false)]
    ids = np.arange(count)
    return Dataset(Pairs(pool.images[rows], captions, ids, ids), wrong, sources)


def _another(scene: int, rng: np.random.Generator, false: Callable[[int, int], bool]) -> int:
    while True:
        other = int(rng.integers(SCENES))
        if false(scene, other):
            return other


def filter_dataset(dataset: Dataset, seed: int) -> list[Outcome] | None:
    """What is kept of each source, by a cut of its own; None where the filter cannot tell."""
    outcomes = []
    for source in np.unique(dataset.sources):
        rows = np.flatnonzero(dataset.sources == source)
        p = dataset.pairs
        pairs = Pairs(p.image_vectors[rows], p.text_vectors[rows], p.images[rows], p.captions[rows])
        try:
            estimate = mismatch.estimate(pairs, ASKED, seed)
        except CannotTellError:
            return None
        scores, wrong = pairs.cosines(), dataset.wrong[rows]
        kept = scores >= estimate.threshold
        oracle = most_at(scores, wrong, ASKED)
        outcomes.append(Outcome(int(kept.sum()), int(wrong[kept].sum()), oracle, estimate.mismatch_fraction))
    return outcomes


def most_at(scores: npt.NDArray[np.float32], wrong: Flags, share: float) -> int:
    """How many pairs the lowest cut keeps of which at most this share is wrong."""
    so_far = np.cumsum(wrong[np.argsort(-scores, kind="stable")])
    return int(np.flatnonzero(so_far <= share * np.arange(1, len(scores) + 1))[-1]) + 1


def row(name: str, datasets: Iterable[tuple[Dataset, int]], allowed: float) -> str:
    runs = [filter_dataset(dataset, seed) for dataset, seed in datasets]
    told = [outcomes for outcomes in runs if outcomes is not None]
    if not told:
        return f"| {name} | {len(runs)} | {len(runs)} | | | | | {len(runs)} of {len(runs)} |"
    overall = [sum(o.wrong for o in outcomes) / sum(o.kept for o in outcomes) for outcomes in told]
    worst = [max([share, *(o.truth for o in outcomes)]) for share, outcomes in zip(overall, told, strict=True)]
    said = [sum(o.estimate * o.kept for o in outcomes) / sum(o.kept for o in outcomes) for outcomes in told]
    power = [min(o.kept / o.oracle for o in outcomes) for outcomes in told]
    good = len(runs) - len(told) + sum(share <= allowed for share in worst)
    return (
        f"| {name} | {len(runs)} | {len(runs) - len(told)} | {np.mean(said):.2%} | {np.mean(overall):.2%} | "
        f"{max(worst):.2%} | {min(power):.3f} | {good} of {len(runs)} |"
    )


def table(pool: Pool, seeds: int, cases: Sequence[Case] = CASES) -> None:
    make = partial(compose, pool, false=clearly_false_pairs())
    print(f"siglip-pico {pool.weights[:12]}, asked for {ASKED:.0%}\n")
    print("| pairs, wrong captions | seeds | cannot tell | said | true | worst | kept, of an oracle's | within |")
    print("|---|---|---|---|---|---|---|---|")
    for case in cases:
        datasets = ((make(case.count, case.shares, case.similar, seed), seed) for seed in range(seeds))
        print(row(case.name, datasets, case.allowed), flush=True)


def clearly_false_pairs() -> Callable[[int, int], bool]:
    """Whether a scene's picture makes another scene's caption false, as `siglane scenes` asks it."""
    from scenes.truth import clearly_false

    scenes = [described(SEED, SPLIT, index) for index in range(SCENES)]
    return lambda picture, caption: clearly_false(scenes[caption][1].claims, scenes[picture][0])


def real(share: float = 0.3) -> None:
    """The same through the commands."""
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
        data, vectors, kept = (str(Path(folder) / name) for name in ("scenes", "t", "kept"))
        wrong = ["--wrong-other", str(share)]
        scenes.main(["--output", data, "--count", str(SCENES), "--seed", "12", *wrong])
        columns = ["--keep-cols", "caption_kind"]
        embed.main(["--input", data, "--table", vectors, "--model", "siglip-pico", "--local", *columns])
        score.main(["--table", vectors])
        filter.main(["--table", vectors, "--output", kept, "--max-mismatch-fraction", str(ASKED)])
        manifest = json.loads((Path(f"{kept}.siglane") / "manifest.json").read_text())
        kinds = pq.read_table(kept, columns=["caption_kind"])["caption_kind"].to_numpy()
        import lance

        everything = lance.dataset(f"{vectors}.lance").to_table(["cosine", "caption_kind"])
        false = everything["caption_kind"].to_numpy() != "true"
        oracle = most_at(everything["cosine"].to_numpy(), false, ASKED)
    figures = {
        "wrong": share,
        "kept": manifest["kept"],
        "threshold": manifest["threshold"],
        "said": manifest["mismatch_fraction"],
        "true": float((kinds != "true").mean()),
        "kept_of_oracle": manifest["kept"] / oracle,
    }
    print(json.dumps(figures, indent=2))


def main(pool: str, number: str | None = None) -> None:
    if pool == "real":
        return real(*([float(number)] if number else []))
    file = Path(pool)
    if not file.exists():
        make_pool(file)
    return table(read_pool(file), int(number or 20))


if __name__ == "__main__":
    main(*sys.argv[1:])

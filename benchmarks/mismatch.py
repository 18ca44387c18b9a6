"""How true `filter --max-mismatch-fraction` is: on vectors of real models, on simulated ones and on drawn scenes.

    python -m benchmarks.mismatch FOLDER SCENES.npz [SEEDS]             the tables; FOLDER has sets of vectors, *.npz
    python -m benchmarks.mismatch FOLDER SCENES.npz intervals [RUNS]    how often intervals hold the true fraction
    python -m benchmarks.mismatch FOLDER SCENES.npz scores [SEEDS]      the cosine beside the normalised score
    python -m benchmarks.mismatch real [SHARE]                          one dataset through the commands

`wrong_captions` tells the sets, and how captions are made wrong. Columns of a table: how many of the runs were
answered; the fraction that was said and the true one of what was kept (mean, 90th percentile, worst); the runs with a
true fraction of at most 1.5 and 3.5 points above the asked one; the kept pairs over those of an oracle, which is the
lowest cut on the same score that knows the truth; the bound less the true fraction, and how often it holds; and how
often the scores contradicted the assumption.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks.wrong_captions import (
    SCENES,
    Corrupted,
    Flags,
    Floats,
    Set,
    corrupted,
    normalised_scores,
    oracle,
    sets,
)
from jobs import embed, filter, scenes, score  # noqa: A004
from pipeline.mismatch import interval
from pipeline.mismatch.estimate import Assumption, CannotTellError, Estimate, Examined, examine
from pipeline.mismatch.pairs import Pairs

ASKED = (0.02, 0.05, 0.1)
SEEDS = 20
CASES = (
    ("none", 0.0),
    *((how, share) for how in ("random", "similar", "mixed") for share in (0.1, 0.3, 0.6)),
    ("generic", 0.1),
    ("in-class", 0.3),
    ("attribute", 0.3),
)
ASSUMED: tuple[Assumption, ...] = ("random", "any")


@dataclass(frozen=True)
class Answer:
    said: Estimate
    true: float
    kept: float
    """over the oracle's"""


def answers(data: Set, how: str, share: float, seed: int) -> dict[tuple[Assumption, float], Answer | None] | None:
    """By assumption and asked fraction; None where the filter cannot tell. None if captions cannot be made so wrong."""
    made = corrupted(data, how, share, seed)
    if made is None:
        return None
    interval.REPLICATES = 2  # the table has no intervals, which take most of the time
    try:
        examined = examine(made.pairs, seed)
    except CannotTellError:
        return {(assumes, asked): None for assumes in ASSUMED for asked in ASKED}
    return {(assumes, asked): _answer(made, examined, asked, assumes) for assumes in ASSUMED for asked in ASKED}


def _answer(made: Corrupted, examined: Examined, asked: float, assumes: Assumption) -> Answer | None:
    try:
        said = examined.estimate(asked, assumes)
    except CannotTellError:
        return None
    scores = made.scores("cosine")
    keeps = scores >= said.threshold
    return Answer(said, float(made.wrong[keeps].mean()), keeps.sum() / max(1, oracle(scores, made.wrong, asked)))


def lines(name: str, runs: Sequence[dict[tuple[Assumption, float], Answer | None]]) -> Iterator[str]:
    for assumes, asked in runs[0]:
        told = [answer for run in runs if (answer := run[assumes, asked]) is not None]
        start = f"| {name} | {assumes} | {asked:.0%} | {len(told)} of {len(runs)} |"
        if not told:
            yield f"{start} | | | | | | |"
            continue
        true = np.array([answer.true for answer in told])
        above = np.array([answer.said.mismatch_upper_any - answer.true for answer in told])
        yield (
            f"{start} {np.mean([answer.said.mismatch_fraction for answer in told]):.1%} | "
            f"{true.mean():.1%}, {np.quantile(true, 0.9):.1%}, {true.max():.1%} | "
            f"{np.mean(true <= asked + 0.015):.0%}, {np.mean(true <= asked + 0.035):.0%} | "
            f"{np.mean([answer.kept for answer in told]):.2f} | {above.mean():+.1%} | {np.mean(above >= 0):.0%} | "
            f"{np.mean([answer.said.contradicted is not None for answer in told]):.0%} |"
        )


def table(folder: Path, scenes_file: Path, seeds: int) -> None:
    print(
        "| set | wrong captions | assumes | asked | answered | said | true: mean, p90, worst | within 1.5, 3.5 |",
        end="",
    )
    print(" kept of the oracle's | bound less true | bound holds | contradicted |")
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for data in sets(folder, scenes_file):
            for how, share in CASES:
                runs = list(pool.map(answers, *zip(*((data, how, share, seed) for seed in range(seeds)), strict=True)))
                made = [run for run in runs if run is not None]
                for line in lines(f"{data.name} | {how} {share:.0%}", made) if made else ():
                    print(line, flush=True)


def intervals(folder: Path, scenes_file: Path, runs: int) -> None:
    """Of sets of 1,000 and of 20,000 pairs."""
    print("| set | pairs | wrong captions | runs answered | true | said | interval | holds it |")
    print("|---|---|---|---|---|---|---|---|")
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for data in sets(folder, scenes_file):
            for count in (1_000, len(data.images)) if data.is_large else (len(data.images),):
                for share in (0.1, 0.3, 0.6):
                    tasks = [(data, count, share, seed) for seed in range(runs)]
                    found = [answer for answer in pool.map(_of_part, *zip(*tasks, strict=True)) if answer is not None]
                    true = np.array([answer.true for answer in found])
                    low, high = np.array([answer.said.interval for answer in found]).T
                    print(
                        f"| {data.name} | {count} | random {share:.0%} | {len(found)} | {true.mean():.1%} | "
                        f"{np.mean([answer.said.mismatch_fraction for answer in found]):.1%} | {low.mean():.1%} to "
                        f"{high.mean():.1%} | {np.mean((low <= true) & (true <= high)):.0%} |",
                        flush=True,
                    )


def _of_part(data: Set, count: int, share: float, seed: int) -> Answer | None:
    rows = np.random.default_rng([seed, 1]).permutation(len(data.images))[:count]
    part = Set(data.name, data.images[rows], data.texts[rows], data.ids[rows], data.scale)
    made = corrupted(part, "random", share, seed)
    assert made is not None
    return _answer(made, examine(made.pairs, seed), 0.05, "random")


def scores(folder: Path, scenes_file: Path, seeds: int) -> None:
    """AUC of right against wrong pairs, and the cut at 5 %, by the cosine and by the normalised score."""
    print("In each cell: by the cosine, by the normalised score. Asked for 5 %.\n")
    print("| set | wrong captions | AUC | true (worst) | kept of the oracle's | oracle keeps |")
    print("|---|---|---|---|---|---|")
    for data in (data for data in sets(folder, scenes_file) if not data.is_large):
        for how, share in (("random", 0.3), ("similar", 0.3), ("outside", 0.1), ("outside", 0.3), ("outside", 0.6)):
            found = [_scored(data, how, share, seed) for seed in range(seeds)]
            auc, true, kept, best = (np.array([run[name] for run in found]) for name in ("auc", "true", "kept", "best"))
            worst = np.nanmax(true, axis=0)
            cells = (
                f"{auc[:, 0].mean():.3f}, {auc[:, 1].mean():.3f}",
                ", ".join(f"{np.nanmean(true[:, by]):.1%} ({worst[by]:.1%})" for by in (0, 1)),
                ", ".join(f"{np.nanmean(kept[:, by]):.2f}" for by in (0, 1)),
                ", ".join(f"{best[:, by].mean():.0%}" for by in (0, 1)),
            )
            print(f"| {data.name} | {how} {share:.0%} | {' | '.join(cells)} |", flush=True)


def _scored(data: Set, how: str, share: float, seed: int) -> dict[str, tuple[float, float]]:
    """By the cosine, and by the normalised score."""
    made = _from_outside(data, share, seed) if how == "outside" else corrupted(data, how, share, seed)
    assert made is not None
    by_cosine, found = made.pairs, []
    for pairs in (by_cosine, replace(by_cosine, score=normalised_scores(made))):
        best = oracle(pairs.own, made.wrong, 0.05)
        try:
            keeps = pairs.own >= examine(pairs, seed).estimate(0.05).threshold
            true, kept = float(made.wrong[keeps].mean()), keeps.sum() / max(1, best)
        except CannotTellError:
            true, kept = float("nan"), float("nan")
        found.append((_auc(pairs.own, made.wrong), true, kept, best / len(pairs)))
    auc, true, kept, oracles = zip(*found, strict=True)
    return {"auc": auc, "true": true, "kept": kept, "best": oracles}


def _from_outside(data: Set, share: float, seed: int) -> Corrupted:
    """Three quarters of the set are the table. Wrong captions are those of images of the rest."""
    rng = np.random.default_rng([seed, 5])
    images = rng.permutation(np.unique(data.ids))
    inside = np.isin(data.ids, images[: len(images) * 3 // 4])
    rows, others = np.flatnonzero(inside), np.flatnonzero(~inside)
    wrong = rng.random(len(rows)) < share
    captions = np.where(wrong, rng.choice(others, len(rows)), rows)
    _, alike = np.unique(np.round(data.texts[captions], 5), axis=0, return_inverse=True)
    wrong &= (data.texts[captions] * data.texts[rows]).sum(axis=1) <= 0.9995
    return Corrupted(Pairs(data.images[rows], data.texts[captions], data.ids[rows], alike.ravel()), wrong, data.scale)


def _auc(scores: Floats, wrong: Flags) -> float:
    ranks = np.argsort(np.argsort(scores, kind="stable")) + 1.0
    right = int((~wrong).sum())
    return float((ranks[~wrong].sum() - right * (right + 1) / 2) / (right * wrong.sum()))


def real(share: float = 0.3) -> None:
    """The same through the commands."""
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
        data, vectors, kept = (str(Path(folder) / name) for name in ("scenes", "t", "kept"))
        wrong = ["--wrong-other", str(share)]
        scenes.main(["--output", data, "--count", str(SCENES), "--seed", "12", *wrong])
        columns = ["--keep-cols", "caption_kind"]
        embed.main(["--input", data, "--table", vectors, "--model", "siglip-pico", "--local", *columns])
        score.main(["--table", vectors])
        filter.main(["--table", vectors, "--output", kept, "--max-mismatch-fraction", str(ASKED[1])])
        manifest = json.loads((Path(f"{kept}.siglane") / "manifest.json").read_text())
        kinds = pq.read_table(kept, columns=["caption_kind"])["caption_kind"].to_numpy()
        import lance

        everything = lance.dataset(f"{vectors}.lance").to_table(["cosine", "caption_kind"])
        false = everything["caption_kind"].to_numpy() != "true"
        best = oracle(everything["cosine"].to_numpy(), false, ASKED[1])
    figures = {
        "wrong": share,
        "kept": manifest["kept"],
        "threshold": manifest["threshold"],
        "said": manifest["mismatch_fraction"],
        "true": float((kinds != "true").mean()),
        "kept_of_oracle": manifest["kept"] / best,
    }
    print(json.dumps(figures, indent=2))


def main(*arguments: str) -> None:
    match arguments:
        case ("real", *rest):
            real(*map(float, rest))
        case (folder, file, "scores", *rest):
            scores(Path(folder), Path(file), *(map(int, rest) if rest else [SEEDS]))
        case (folder, file, "intervals", *rest):
            intervals(Path(folder), Path(file), *(map(int, rest) if rest else [200]))
        case (folder, file, *rest):
            table(Path(folder), Path(file), *(map(int, rest) if rest else [SEEDS]))


if __name__ == "__main__":
    main(*sys.argv[1:])

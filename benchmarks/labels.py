"""How often a certified cut is wrong, and what it keeps: labels are simulated from the truth.

    python -m benchmarks.labels FOLDER SCENES.npz [RUNS]     the table; FOLDER has sets of vectors, *.npz
    python -m benchmarks.labels FOLDER SCENES.npz designs    where labels are drawn, compared

`wrong_captions` tells the sets, and how captions are made wrong.
Runs are divided: several draws of labels for each corrupted set. A run in which nothing is certified keeps 0.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.wrong_captions import Flags, Floats, Set, corrupted, oracle, sets
from pipeline.filtering.certified.design import Design, design, kept_share, uniform
from pipeline.filtering.certified.sequence import Labelled, certify

ASKED = 0.05
RUNS = 200
COUNTS = (200, 400)
SCORES = ("cosine", "normalised_score")
LARGE_SHARE = 0.3
"""the share of wrong captions in large sets, whose normalised scores take half a minute each"""
CASES = (
    *((how, 0.3) for how in ("random", "similar", "in-class", "generic", "mixed", "attribute")),
    *((how, share) for how in ("random", "similar") for share in (0.1, 0.6)),
)


def corruptions(data: Set) -> int:
    """How many corrupted sets share the runs."""
    return 3 if data.is_large else 40


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
        oracles.append(oracle(scores, wrong, ASKED))
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


Designer = Callable[[Floats, int, float | None], Design]


def sides_of(
    data: Set, how: str, share: float, scores: Sequence[str] = SCORES
) -> dict[str, list[tuple[Floats, Flags, float | None]]] | None:
    """Scores, truth and what decoys say, of every corruption, by score."""
    found: dict[str, list[tuple[Floats, Flags, float | None]]] = {by: [] for by in scores}
    for seed in range(corruptions(data)):
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
        "as decoys tell": design,
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

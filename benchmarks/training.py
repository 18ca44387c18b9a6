"""What the filter is for: siglip-pico's architecture, trained from scratch on what a filter keeps of noisy pairs.

    python -m benchmarks.training [PAIRS] [STEPS] [SEEDS] [WORKERS]

For each of SEEDS (3) `siglane scenes` draws PAIRS scenes (5,000), 40 % of whose captions are another scene's, and the
bundled siglip-pico embeds and scores them. Five parts of them are trained on by `siglane train`, with equal options,
first weights and number of STEPS (1,000) of 64 pairs:

    kept, 5 % what `filter --max-mismatch-fraction 0.05` keeps
    kept, 1 % what `filter --max-mismatch-fraction 0.01` keeps
    all       everything
    random    as many pairs as the first, drawn by chance
    top 30 %  what `filter --top-fraction 0.3` keeps

WORKERS trainings (2) run at once, each in one thread: two cores do more so than by sharing each step. Recall is text to
image among 1,000 scenes of combinations that none of them has seen, the mean over five such thousands; AUC is that of
true captions against other scenes'. The table tells each training, and the means over the seeds.
"""

from __future__ import annotations

import multiprocessing
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

import siglip_core
from jobs import embed, filter, scenes, train  # noqa: A004
from scenes.draw import pixels
from scenes.plan import plan
from siglip_core.retrieval import recall_at_k, roc_auc
from siglip_core.similarity import cosine_block

NOISE, BATCH_SIZE = 0.4, 64
FILTERED = {
    "kept, 5 %": ["--max-mismatch-fraction", "0.05"],
    "kept, 1 %": ["--max-mismatch-fraction", "0.01"],
    "top 30 %": ["--top-fraction", "0.3"],
}
ARMS = ("kept, 5 %", "kept, 1 %", "all", "random", "top 30 %")
TEST_SCENES, TEST_SEEDS = 1000, range(99, 104)  # no seed of a training


@dataclass(frozen=True)
class Arm:
    seed: int
    name: str
    pairs: Path
    """a folder of Parquet files"""
    count: int
    wrong: float
    """the share of captions that are another scene's"""


@dataclass(frozen=True)
class Quality:
    recall_at_1: float
    recall_at_5: float
    auc: float


def make_arms(folder: Path, count: int, seed: int) -> list[Arm]:
    data, table = folder / "scenes", str(folder / "t")
    run(scenes.main, "--output", data, "--count", count, "--seed", seed, "--wrong-other", NOISE)
    given = ["--input", data, "--table", table, "--model", "siglip-pico", "--keep-cols", "caption_kind"]
    run(embed.main, *given, "--local", "--score")
    places = {"all": data, "random": folder / "random"}
    for name, cut in FILTERED.items():
        places[name] = folder / re.sub(r"\W", "", name)
        run(filter.main, "--table", table, "--output", places[name], *cut, "--with-images", "--input", data)
    places["random"].mkdir()
    kept, _ = truth(places["kept, 5 %"])
    rows = np.sort(np.random.default_rng(seed).choice(count, kept, replace=False))
    pq.write_table(pq.read_table(data).take(rows), places["random"] / "part-00000.parquet")
    return [Arm(seed, name, places[name], *truth(places[name])) for name in ARMS]


def truth(pairs: Path) -> tuple[int, float]:
    """(how many pairs, how many of the captions are wrong)"""
    kinds = pq.read_table(pairs, columns=["caption_kind"])["caption_kind"].to_numpy()
    return len(kinds), float((kinds != "true").mean())


def train_on(arm: Arm, output: Path, steps: int) -> Quality:
    torch.set_num_threads(1)
    schedule = ["--steps", steps, "--batch-size", BATCH_SIZE, "--warmup-steps", min(100, steps // 10)]
    constant = ["--architecture", "siglip-pico", "--save-every", steps, "--seed", arm.seed]
    run(train.main, "--input", arm.pairs, "--output", output, *schedule, *constant)
    return measure(output)


def measure(model: Path) -> Quality:
    encoder = siglip_core.load(model)
    size = encoder.spec.preprocessing.resolution
    found = []
    for seed in TEST_SEEDS:
        rows = plan(TEST_SCENES, seed, "test")
        x_NE = encoder.encode_image(np.stack([pixels(row.picture, size) for row in rows]))
        text_to_image_NN = cosine_block(encoder.encode_text([row.caption for row in rows]), x_NE)
        others = text_to_image_NN[~np.eye(TEST_SCENES, dtype=bool)]
        auc = roc_auc(text_to_image_NN.diagonal(), others)
        found.append((recall_at_k(text_to_image_NN, 1), recall_at_k(text_to_image_NN, 5), auc))
    return Quality(*(float(value) for value in np.mean(found, axis=0)))


def run(command: Callable[[list[str]], int], *arguments: object) -> None:
    with redirect_stdout(sys.stderr):
        code = command([str(argument) for argument in arguments])
    if code:
        raise SystemExit(code)


def line(arm: Arm, q: Quality) -> str:
    of_arm = f"{arm.seed} | {arm.name} | {arm.count:,} | {arm.wrong:.1%}"
    return f"| {of_arm} | {q.recall_at_1:.4f} | {q.recall_at_5:.4f} | {q.auc:.4f} |"


def mean_line(name: str, of_name: Sequence[Quality]) -> str:
    means = (np.mean([getattr(q, field) for q in of_name]) for field in ("recall_at_1", "recall_at_5", "auc"))
    return f"| mean | {name} | | | {' | '.join(f'{mean:.4f}' for mean in means)} |"


def main(count: int = 5_000, steps: int = 1000, seeds: int = 3, workers: int = 2) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arms = [arm for seed in range(seeds) for arm in make_arms(folder / str(seed), count, seed)]
        outputs = [folder / f"trained-{place}" for place in range(len(arms))]
        print(f"siglip-pico's architecture, {steps} steps of {BATCH_SIZE}; {count:,} pairs, {NOISE:.0%} wrong\n")
        print("| seed | trained on | pairs | wrong captions | R@1 | R@5 | AUC |")
        print("|---|---|---|---|---|---|---|", flush=True)
        qualities = []
        # a process that has not used threads of torch yet
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
            for arm, quality in zip(arms, pool.map(train_on, arms, outputs, [steps] * len(arms)), strict=True):
                print(line(arm, quality), flush=True)
                qualities.append(quality)
    for name in ARMS:
        print(mean_line(name, [quality for arm, quality in zip(arms, qualities, strict=True) if arm.name == name]))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

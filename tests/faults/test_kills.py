"""SIGKILL of the driver, at random moments and at each step around a commit: the same command ends in the same rows."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import RayCluster
from tests.faults.share import KILLS, KILLS_ON_RAY
from tests.processes import Siglane, kill_process_group
from tests.rows import assert_same_rows, rows_of

KILLS_A_TABLE = 10

STEPS = [
    f"{step}:{moment}:{call}"
    for step, calls in (
        ("stage", (1, 2, 9)),
        ("commit", (1, 2, 9)),
        ("lease", (1,)),
        ("merge", (1, 2)),
        ("release", (1,)),
    )
    for moment in ("before", "after")
    for call in calls
]


def command(dataset: Path, model: Path) -> list[object]:
    run = ["embed", "--input", dataset, "--table", "t", "--model", model, "--local"]
    return [*run, "--commit-seconds", "0", "--batch-size", "8"]


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_a_step(
    fatal: Siglane, tmp_path: Path, dataset: Path, undisturbed: Path, model: Path, step: str
) -> None:
    process = fatal.start(*command(dataset, model), environment={"KILL_AT": step})
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, "the run did not come to this step"
    fatal(*command(dataset, model))
    assert_same_rows(rows_of(tmp_path / "t"), rows_of(undisturbed))


@pytest.mark.parametrize("seed", range(KILLS // KILLS_A_TABLE))
def test_killed_again_and_again_at_random_moments(
    siglane: Siglane, tmp_path: Path, dataset: Path, undisturbed: Path, model: Path, seed: int
) -> None:
    killed_at_random(siglane, command(dataset, model), tmp_path, undisturbed, random.Random(seed), KILLS_A_TABLE, 8)


def test_killed_again_and_again_on_ray(
    siglane: Siglane, tmp_path: Path, dataset: Path, undisturbed: Path, model: Path, ray_cluster: RayCluster
) -> None:
    run = ["embed", "--input", dataset, "--table", "t", "--model", model, "--address", ray_cluster.address]
    run += ["--commit-seconds", "0", "--batch-size", "4"]
    killed_at_random(siglane, run, tmp_path, undisturbed, random.Random(17), KILLS_ON_RAY, 14)


def killed_at_random(
    siglane: Siglane,
    run: Sequence[object],
    folder: Path,
    undisturbed: Path,
    moments: random.Random,
    kills: int,
    seconds: float,
) -> None:
    """Kills the command's whole process group so many times, each within so many seconds of its start."""
    killed = 0
    while killed < kills:
        process = siglane.start(*run)
        try:
            process.communicate(timeout=moments.uniform(0, seconds))
        except subprocess.TimeoutExpired:
            kill_process_group(process)
            killed += 1
        else:  # done before its moment had come: another table
            assert process.returncode == 0
            assert_same_rows(rows_of(folder / "t"), rows_of(undisturbed))
            (folder / "t.lance").rename(folder / f"{killed}-{time.monotonic_ns()}.lance")
    siglane(*run)
    assert_same_rows(rows_of(folder / "t"), rows_of(undisturbed))

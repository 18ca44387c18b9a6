"""SIGKILL of what works for a driver on Ray: its encoders, its readers, and the children that decode for them."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import RayCluster
from tests.faults.share import CHURN_SECONDS
from tests.processes import Siglane, pids_of_session, wait_for_rows
from tests.ray_clusters import started
from tests.rows import assert_same_rows, rows_of


def start(siglane: Siglane, dataset: Path, model: Path, cluster: RayCluster, *more: object) -> subprocess.Popen[str]:
    run = ["embed", "--input", dataset, "--table", "t", "--model", model, "--address", cluster.address]
    return siglane.start(*run, "--commit-seconds", "0", *more)


@pytest.mark.parametrize(
    ("what", "text", "kills"),
    [("encoder", "ray::MapWorker", 5), ("reader", "ray::MapBatches", 2), ("child", "pipeline.stages.child", 5)],
)
def test_a_killed_worker_costs_nothing(
    siglane: Siglane,
    tmp_path: Path,
    dataset: Path,
    undisturbed: Path,
    model: Path,
    ray_cluster: RayCluster,
    what: str,
    text: str,
    kills: int,
) -> None:
    """Killed again and again while the run goes on, and more often than one task is tried again."""
    process = start(siglane, dataset, model, ray_cluster, "--batch-size", "4")
    moments = random.Random(what)
    wait_for_rows(process, tmp_path / "t.lance")
    killed = set[int]()
    while len(killed) < kills and process.poll() is None:
        for pid in pids_of_session(ray_cluster.session, text):
            if pid not in killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
                time.sleep(moments.uniform(0.1, 0.5))
    _, err = process.communicate(timeout=120)
    print(f"{what}: {len(killed)} kills")
    assert killed, "the run was over before anything could be killed"
    assert process.returncode == 0, err
    assert_same_rows(rows_of(tmp_path / "t"), rows_of(undisturbed))


SHARE, SECONDS_BETWEEN = 0.1, 5.0


def test_a_tenth_of_the_encoders_killed_every_five_seconds_costs_nothing(
    siglane: Siglane, tmp_path: Path, long_dataset: Path, long_undisturbed: Path, model: Path
) -> None:
    """Two encoders, of which a tenth is one. The run is as long as the killing, or nearly."""
    victims = random.Random(SHARE)
    killed = list[int]()
    with started("--num-cpus=4") as cluster:
        process = start(siglane, long_dataset, model, cluster, "--batch-size", "4")
        wait_for_rows(process, tmp_path / "t.lance")
        end = time.monotonic() + CHURN_SECONDS
        while time.monotonic() < end and process.poll() is None:
            encoders = pids_of_session(cluster.session, "ray::MapWorker")
            chosen = victims.sample(encoders, min(len(encoders), max(1, round(SHARE * len(encoders)))))
            for pid in chosen:
                os.kill(pid, signal.SIGKILL)
            killed += chosen
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(SECONDS_BETWEEN)
        _, err = process.communicate(timeout=120)
    print(f"{len(killed)} kills; {err.strip().splitlines()[-1]}")
    assert process.returncode == 0, err
    assert len(killed) >= CHURN_SECONDS / SECONDS_BETWEEN / 2, "the run was over before much could be killed"
    assert_same_rows(rows_of(tmp_path / "t"), rows_of(long_undisturbed))

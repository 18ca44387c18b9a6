"""SIGKILL of what works for a driver on Ray: its encoders, its readers, and the children that decode for them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import RayCluster
from tests.processes import Siglane, pids_of_session, wait_for_rows
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

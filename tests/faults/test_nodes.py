"""Nodes of a cluster that vanish in mid-run: the run goes on with those that are left, and ends right."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import Siglane, children_of, wait_for, wait_for_rows
from tests.rows import assert_same_rows, rows_of


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head without CPUs and two nodes that work."""
    from ray.cluster_utils import Cluster

    started = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, "object_store_memory": 10**8}
    )
    try:
        for _ in range(2):
            started.add_node(num_cpus=2, object_store_memory=2 * 10**8)
        started.wait_for_nodes()
        yield started
    finally:
        started.shutdown()


@pytest.mark.parametrize("moment", [0.4, 1.2, 2.5])
def test_a_node_lost_in_mid_run_costs_no_row(
    siglane: Siglane, tmp_path: Path, dataset: Path, undisturbed: Path, model: Path, cluster: Any, moment: float
) -> None:
    run = ["embed", "--input", dataset, "--table", "t", "--model", model, "--address", cluster.address]
    run += ["--commit-seconds", "0", "--batch-size", "4"]
    process = siglane.start(*run)
    wait_for_rows(process, tmp_path / "t.lance")
    time.sleep(moment)
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    _, err = process.communicate(timeout=180)
    print(f"planned again {err.count('planned again')} times; {err.strip().splitlines()[-1]}")
    assert process.returncode == 0, err
    assert_same_rows(rows_of(tmp_path / "t"), rows_of(undisturbed))
    assert siglane(*run)["read"] == 0


def test_a_node_that_replaces_another_in_mid_run_takes_over(
    siglane: Siglane, tmp_path: Path, long_dataset: Path, long_undisturbed: Path, model: Path, cluster: Any
) -> None:
    """As on spot machines: one is taken away, and later another one comes. It gets the encoder that had no place."""
    run = ["embed", "--input", long_dataset, "--table", "t", "--model", model, "--address", cluster.address]
    process = siglane.start(*run, "--commit-seconds", "0", "--batch-size", "4")
    wait_for_rows(process, tmp_path / "t.lance")
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    wait_for_rows(process, tmp_path / "t.lance")
    added = cluster.add_node(num_cpus=2, object_store_memory=2 * 10**8)
    (raylet,) = [info.process.pid for info in added.all_processes["raylet"]]
    wait_for(lambda: children_of(raylet, "ray::Map"), "the node that was added gets no work")
    assert process.poll() is None
    _, err = process.communicate(timeout=180)
    print(err.strip().splitlines()[-1])
    assert process.returncode == 0, err
    assert_same_rows(rows_of(tmp_path / "t"), rows_of(long_undisturbed))


def test_a_run_whose_own_node_is_lost_says_so_and_the_same_command_completes(
    siglane: Siglane, tmp_path: Path, dataset: Path, undisturbed: Path, model: Path, cluster: Any
) -> None:
    """The driver is connected to the head's node, which holds what Ray Data keeps for the run. Ray then ends it."""
    run = ["embed", "--input", dataset, "--table", "t", "--model", model, "--address", cluster.address]
    run += ["--commit-seconds", "0", "--batch-size", "4"]
    process = siglane.start(*run)
    wait_for_rows(process, tmp_path / "t.lance")
    cluster.head_node.kill_raylet()
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    (line,) = [line for line in err.splitlines() if "run the same command again" in line]
    assert "the Ray node of this process at" in line
    assert 0 < len(rows_of(tmp_path / "t")) < 600
    assert siglane(*run)["read"] > 0
    assert_same_rows(rows_of(tmp_path / "t"), rows_of(undisturbed))

"""What the engine itself costs on many GPUs: fake GPUs, a model that sleeps, and a store that is as slow as S3.

    python -m benchmarks.scale [--gpus 1,2,4,8,16] [--windows 250@0,…] [--batch 64] [--seconds 20] [--store]

Each number of GPUs gets a cluster on this machine: a head with the driver, a node with CPUs for readers and writers,
and nodes with one GPU each, which is only declared. One run goes through the `--windows`, one after the other: how many
milliseconds a batch takes, @ how many each request to the store waits. With `--store`, input and table are on an S3
server (moto) behind the proxy of the tests; else on the local disk, and nothing waits.

Decoding and the towers are left out (`benchmarks.sleeping`); the rest is the engine as it is. All processes share the
cores of this machine, so look at CPU time too. Prints Markdown; where the CPU time goes, by role.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import finished_table, sleeping
from benchmarks.scale_driver import ROLES, SETTLE_SECONDS
from pipeline.processes import thread_beside

ROOT = Path(__file__).parents[1]
DIMENSION = 768
WARM_SECONDS = 60
"""at the pace of the first window, in which encoders, readers and writers start"""
READ_AHEAD_ROWS = 200_000
"""more than the object stores hold, so that the input is not at its end before the measurement is"""
COLUMNS = (
    *("GPUs", "ms a batch", "ms a request", "rows/s", "of linear", "CPU ms a batch"),
    *("driver, µs a row", "… without merging", "rows a fragment", "s a commit", "CPU µs a row, by role"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", default="1,2,4,8,16")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--windows", default="250@0")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--store", action="store_true")
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--readers", type=int, default=4)
    given = parser.parse_args()
    os.environ["RAY_AUTH_MODE"] = "disabled"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        finished_table.write_model(folder / "model", DIMENSION)
        finished_table.write_input(folder / "input", 4)
        print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
        for gpus in map(int, given.gpus.split(",")):
            place = folder / str(gpus)
            (place / "control").mkdir(parents=True)
            with _store(place / "control", folder, given.store) as root, _cluster(gpus, given.readers) as address:
                for found in _measured(folder, place, root, address, gpus, given):
                    print(_line(gpus, given.batch, found), flush=True)


def _measured(
    folder: Path, place: Path, root: str, address: str, gpus: int, given: argparse.Namespace
) -> list[dict[str, Any]]:
    windows = [float(window.partition("@")[0]) for window in given.windows.split(",")]
    rows = sum(gpus * given.batch * 1000 / milliseconds * (given.seconds + SETTLE_SECONDS) for milliseconds in windows)
    rows += WARM_SECONDS * gpus * given.batch * 1000 / windows[0] + READ_AHEAD_ROWS
    command = [
        *(sys.executable, "-m", "benchmarks.scale_driver", "--address", address),
        *("--input", f"{root}/input", "--table", f"{root}/t{gpus}", "--model", folder / "model"),
        *("--control", place / "control", "--output", place / "measured.json"),
        *("--batch", given.batch, "--side", given.side, "--windows", given.windows, "--seconds", given.seconds),
        *("--chunks", int(rows / sleeping.ROWS_PER_CHUNK)),
    ]
    subprocess.run(list(map(str, command)), stdout=sys.stderr, cwd=ROOT, check=True)
    measured: list[dict[str, Any]] = json.loads((place / "measured.json").read_text())
    return measured


def _line(gpus: int, batch: int, found: Mapping[str, Any]) -> str:
    rows, cpu = found["rows"], found["cpu"]
    linear = gpus * batch * 1000 / found["batch_ms"]
    cells = [
        *(str(gpus), f"{found['batch_ms']:g}", f"{found['latency_ms']:g}"),
        *(f"{found['rows_per_second']:,.0f}", f"{found['rows_per_second'] / linear:.3f}"),
        *(f"{1000 * batch * sum(cpu.values()) / rows:.1f}", f"{1e6 * cpu['driver'] / rows:.1f}"),
        *(f"{1e6 * (cpu['driver'] - found['merge_cpu']) / rows:.1f}", f"{rows / max(1, found['fragments']):,.0f}"),
        f"{found['commit_seconds']:.2f}",
    ]
    by_role = ", ".join(
        f"{role} {1e6 * cpu.get(role, 0.0) / rows:.0f}" for role in dict.fromkeys(role for _, role in ROLES)
    )
    return f"| {' | '.join([*cells, by_role])} |"


@contextmanager
def _store(control: Path, folder: Path, is_s3: bool) -> Iterator[str]:
    """Where the input lies and tables go: the folder, or a bucket of a server as slow as the control says."""
    if not is_s3:
        yield str(folder)
        return
    from tests.faulty_proxy import faulty_proxy
    from tests.s3 import environment, moto

    with moto() as server, faulty_proxy(server.port) as proxy:
        bucket = server.bucket()
        server.put_folder(folder / "input", f"{bucket}/input")

        def follow(over: threading.Event) -> None:
            while not over.wait(0.2):
                with contextlib.suppress(FileNotFoundError, ValueError):
                    proxy.latency = float((control / "latency").read_text())

        with environment(proxy.url), thread_beside("latency", follow):
            yield bucket


@contextmanager
def _cluster(gpus: int, cpus: int) -> Iterator[str]:
    from ray.cluster_utils import Cluster

    from pipeline.on_ray.cluster import IDLE_WORKER_MS

    started = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "include_dashboard": False,
            "object_store_memory": 10**8,
            "_system_config": {"idle_worker_killing_time_threshold_ms": IDLE_WORKER_MS},
        },
    )
    try:
        started.add_node(wait=False, num_cpus=cpus, object_store_memory=2 * 10**9)
        for _ in range(gpus):
            started.add_node(wait=False, num_cpus=0, num_gpus=1, object_store_memory=2 * 10**8)
        started.wait_for_nodes(120)
        print(f"{gpus} GPUs: the cluster is up", file=sys.stderr)
        yield started.address
    finally:
        started.shutdown()


if __name__ == "__main__":
    main()

"""The driver of one run of `benchmarks.scale`, in a process of its own: writes what it has measured to a file."""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks import sleeping
from benchmarks.process_tree import Roles, cpu_seconds, role_of, tree
from pipeline.embedding import commit_loop
from pipeline.embedding.flow import ModelStage, Stage, TaskStage
from pipeline.embedding.in_flight import InFlight
from pipeline.embedding.plan import EmbedOptions, EmbedPlan, plan
from pipeline.embedding.reports import EMBED, READ
from pipeline.embedding.time_bounds import Watch
from pipeline.on_ray import cluster, embedding
from pipeline.on_ray.cluster import Encoders
from pipeline.on_ray.options import RayOptions
from pipeline.processes import thread_beside
from pipeline.progress import current
from pipeline.sample import Chunk
from pipeline.table import Committer, Staged

ROLES: Roles = (
    ("benchmarks.scale_driver", "driver"),
    ("ray::MapWorker", "encoders"),
    ("ray::_Board", "Ray's servers"),
    ("ray::", "readers and writers"),
    ("raylet/raylet", "raylets"),
    ("benchmarks.scale", "store"),
    ("gcs_server", "Ray's servers"),
    ("site-packages/ray", "Ray's servers"),
)
WARM_SECONDS = 20.0
"""from the moment when every encoder has a batch until all readers and writers have started too"""
SETTLE_SECONDS = 8.0
"""from a change of the pace to the measurement"""
REAL_SIDE = 224
"""pixels; blocks of smaller photos hold as many of them as blocks of these"""


@dataclass(frozen=True)
class Window:
    """What is measured together."""

    batch_ms: float
    latency_ms: float


@dataclass
class Mark:
    """What was done by one moment."""

    moment: float
    rows: int
    """that the encoders have computed"""
    fragments: int
    commits: int
    commit_seconds: float
    merge_cpu: float
    """seconds of this process while it merges fragments, with what else it does meanwhile"""
    cpu: dict[str, float]
    """seconds by role"""


@dataclass
class Counted:
    """Counts what passes on its way from Ray to the committer, and measures one window after the other."""

    control: Path
    """a folder in which the encoders and the store see how fast they are to be"""
    windows: Sequence[Window]
    seconds: float
    encoders: int
    measured: list[dict[str, Any]] = field(default_factory=list)
    rows: int = 0
    fragments: int = 0
    merge_cpu: float = 0.0
    over: threading.Event = field(default_factory=threading.Event)

    def run(
        self, given: Sequence[Stage], chunks: Sequence[Chunk], in_flight: InFlight, *, stages: Sequence[Stage], on: Any
    ) -> Generator[Staged, None, None]:
        """As `embedding.run`, with other stages than those given, but for the last one, which writes."""
        for staged in on([*stages, given[-1]], chunks, in_flight):
            self.rows += staged.rows
            self.fragments += len(staged.fragments)
            yield staged
            if self.over.is_set():
                return

    def measure(self, left: threading.Event) -> None:
        """Waits until all encoders have been at work for some seconds, and then goes through the windows."""
        pace = sleeping.Pace(self.control)
        self._set(pace, self.windows[0])
        while len(pace.counts()) < self.encoders and not left.wait(0.1):
            pass
        print(f"{self.encoders} encoders are at work", flush=True)
        left.wait(WARM_SECONDS)
        for window in self.windows:
            self._set(pace, window)
            if left.wait(SETTLE_SECONDS):
                return
            first = _now(self)
            if left.wait(self.seconds):
                return
            self.measured.append(asdict(window) | _between(first, _now(self)))
            print(self.measured[-1], flush=True)
        self.over.set()

    def _set(self, pace: sleeping.Pace, window: Window) -> None:
        pace.set(window.batch_ms / 1000)
        (self.control / "latency").write_text(str(window.latency_ms / 1000))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("address", "input", "table", "model", "control", "output", "windows"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("batch", "side", "chunks"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    given = parser.parse_args()
    options = EmbedOptions(
        input=(given.input,), table=given.table, model=given.model, precision="float32", batch_size=given.batch
    )
    planned = _with_chunks(plan(options), given.chunks)
    control = Path(given.control)
    pace = sleeping.Pace(control)
    stages = [
        TaskStage(READ, sleeping.Made(given.side)),
        ModelStage(EMBED, sleeping.load, (planned.embed, pace), given.batch),
    ]
    windows = [Window(*map(float, text.split("@"))) for text in given.windows.split(",")]
    with cluster.connect_encoders(RayOptions(address=given.address)) as encoders:
        counted = Counted(control, windows, given.seconds, encoders.count)
        _run(planned, stages, encoders, counted, given.side)
    Path(given.output).write_text(json.dumps(counted.measured))


def _with_chunks(planned: EmbedPlan, count: int) -> EmbedPlan:
    """So many chunks, which all read the files that are there."""
    there = [chunk.sources[0] for chunk in planned.chunks]
    sources = [replace(there[n % len(there)], path=f"{n:08d}.parquet") for n in range(count)]
    return replace(planned, chunks=[Chunk((source,)) for source in sources])


def _run(planned: EmbedPlan, stages: Sequence[Stage], encoders: Encoders, counted: Counted, side: int) -> None:
    limits = Watch()
    on = partial(embedding.run, encoders=encoders, watch=limits)
    block = int(embedding.BLOCK_BYTES_ON_GPUS * (side / REAL_SIDE) ** 2)
    landed = Counter[Any]()
    merge = Committer.merge_fragments

    def timed(self: Committer, run_is_over: bool = False) -> None:
        began = time.process_time()
        merge(self, run_is_over)
        counted.merge_cpu += time.process_time() - began

    with (
        patch.object(Committer, "merge_fragments", timed),
        patch.object(embedding, "BLOCK_BYTES_ON_GPUS", block),
        thread_beside("measuring", counted.measure),
    ):
        commit_loop.embed(planned, partial(counted.run, stages=stages, on=on), landed.update, limits)
    assert landed.total() == counted.rows, f"{counted.rows} rows were staged, and {landed.total()} committed"
    assert len(counted.measured) == len(counted.windows), "the input was at its end before the measurement"


def _now(counted: Counted) -> Mark:
    counts = current.look().details.counts
    assert counts is not None
    cpu = Counter[str]()
    for pid in tree(os.getppid()):
        try:
            cpu[role_of(pid, ROLES)] += cpu_seconds(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return Mark(
        *(
            time.monotonic(),
            sum(sleeping.Pace(counted.control).counts()),
            counted.fragments,
            counts.commits,
            counts.commit_seconds,
        ),
        *(counted.merge_cpu, dict(cpu)),
    )


def _between(first: Mark, last: Mark) -> dict[str, Any]:
    rows = last.rows - first.rows
    commits = max(1, last.commits - first.commits)
    seconds = last.moment - first.moment
    used = {role: last.cpu[role] - first.cpu.get(role, 0.0) for role in last.cpu}
    return {
        "seconds": seconds,
        "rows": rows,
        "rows_per_second": rows / seconds,
        "fragments": last.fragments - first.fragments,
        "cpu": used,
        "commit_seconds": (last.commit_seconds - first.commit_seconds) / commits,
        "commits": commits,
        "merge_cpu": last.merge_cpu - first.merge_cpu,
    }


if __name__ == "__main__":
    main()

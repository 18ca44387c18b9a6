"""Gives the progress of a run to Ray, whose nodes offer it to Prometheus with Ray's own metrics."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial

from ray.util.metrics import Gauge

from pipeline.processes import thread_beside
from pipeline.progress import Progress, View

SECONDS_BETWEEN = 2.0

# The first ones only grow, from 0 on. They are gauges nevertheless: a counter of Ray is not there before it is above 0.
METRICS = {
    "samples_read": "Samples that this run has read and decoded.",
    "rows_embedded": "Rows that this run has embedded.",
    "rows_rejected": "Rows that this run has rejected.",
    "rows_committed": "Rows that this run has committed to the table.",
    "bytes_written": "Bytes of the fragment files that this run has written.",
    "retries": "Requests to stores that this run has repeated.",
    "commits": "Commits of this run.",
    "commit_seconds": "Seconds of all commits of this run.",
    "rows_expected": "Rows of this run, where it is known or estimated.",
    "rows_per_second": "Rows per second in the last minute.",
    "rows_queued": "Samples that were decoded, and wait for an encoder or for being written.",
    "encoders_busy": "Share of the last minute in which the encoders worked, 0 to 1.",
}
"""what is told, by name: Prometheus sees it as ray_siglane_NAME"""


@contextmanager
def told(progress: Progress, table: str) -> Iterator[None]:
    """For the length of the block, keeps Ray's metrics of this process at the progress. Each has the tag `table`."""
    gauges = {name: Gauge(f"siglane_{name}", text, ("table",)) for name, text in METRICS.items()}
    for gauge in gauges.values():
        gauge.set_default_tags({"table": table})
    with thread_beside("metrics", partial(_tell, gauges, progress)):
        yield


def _tell(gauges: dict[str, Gauge], progress: Progress, over: threading.Event) -> None:
    while not over.wait(SECONDS_BETWEEN):
        for name, value in _values(progress.look()).items():
            if value is not None:
                gauges[name].set(value)


def _values(view: View) -> dict[str, float | None]:
    """By name; empty where the run is not embedding, None where a value is not known."""
    details, counts = view.details, view.details.counts
    if counts is None:
        return {}
    return {
        **asdict(counts),
        "rows_expected": details.total,
        "rows_per_second": view.rows_per_second,
        "rows_queued": max(0, counts.samples_read - counts.rows_embedded - counts.rows_rejected),
        "encoders_busy": details.encoders_busy,
    }

"""What progress costs: rows per second and CPU seconds of `embed --local`, with its bar and measures and without.

    python -m benchmarks.progress [ROWS] [ROUNDS]

The model is so small that the rest of the pipeline takes most of the time. Runs with and without take turns, because
other work on the machine changes its speed.
"""

from __future__ import annotations

import io
import os
import pty
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from jobs import terminal
from pipeline.embedding import commit_loop, flow, plan
from pipeline.embedding.measures import Measures
from pipeline.embedding.plan import EmbedOptions
from pipeline.embedding.reports import Meter
from pipeline.progress import current
from tests.tiny_model import make_model


def main() -> None:
    rows, rounds = (
        int(sys.argv[place]) if len(sys.argv) > place else default for place, default in ((1, 3000), (2, 7))
    )
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder), rows)
        _run(Path(folder), "warm-up")
        found: dict[str, list[tuple[float, float]]] = {"with": [], "without": []}
        for number in range(rounds):
            for name, context in sorted((("with", _bar), ("without", _without)), reverse=bool(number % 2)):
                with context():
                    found[name].append(_run(Path(folder), f"{name}{number}"))
    for name, figures in found.items():
        speeds, seconds = zip(*figures, strict=True)
        print(
            f"{name}: median {statistics.median(speeds):.1f} rows/s ({min(speeds):.1f} to {max(speeds):.1f}), "
            f"{statistics.median(seconds):.2f} CPU seconds of the driver ({min(seconds):.2f} to {max(seconds):.2f}); "
            f"{rounds} runs of {rows} rows"
        )


def _run(folder: Path, name: str) -> tuple[float, float]:
    """(rows per second, CPU seconds of this process) of one run."""
    options = EmbedOptions(input=(str(folder / "in"),), table=str(folder / name), model=str(folder / "model"))
    planned = plan.plan(options)
    began, worked = time.perf_counter(), time.process_time()
    commit_loop.embed(planned, partial(flow.run_local, device="cpu"), lambda _landed: None)
    seconds = time.perf_counter() - began
    return pq.read_metadata(folder / "in" / "a.parquet").num_rows / seconds, time.process_time() - worked


@contextmanager
def _bar() -> Iterator[None]:
    """A bar in a terminal that somebody reads."""
    ours, theirs = pty.openpty()
    threading.Thread(target=_drain, args=(ours,), daemon=True).start()
    with os.fdopen(theirs, "w") as stream, patch.object(sys, "stderr", stream), terminal.bar(current):
        yield


def _drain(terminal: int) -> None:
    while True:
        try:
            os.read(terminal, 1 << 16)
        except OSError:
            os.close(terminal)
            return


@contextmanager
def _without() -> Iterator[None]:
    """Nothing is measured, and whole windows go to the encoder, as if nobody wanted to see progress."""

    def call(_self: Meter, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    def whole(call: flow.Call, _batch_size: int, table: pa.Table) -> Any:
        return call(table)

    with ExitStack() as stack:
        for kind, name, stand_in in (
            (Meter, "call", call),
            (Meter, "count", lambda _self, _rows: None),
            (Meter, "report", lambda _self: None),
            (Measures, "staged", lambda _self, _rows, _rejected: None),
            (flow, "_in_batches", whole),
        ):
            stack.enter_context(patch.object(kind, name, stand_in))
        yield


def _write(folder: Path, rows: int) -> None:
    (folder / "in").mkdir()
    make_model(folder / "model", [f"caption {number}" for number in range(200)])
    images = [_jpeg(number) for number in range(rows)]
    captions = [f"caption {number}" for number in range(rows)]
    pq.write_table(pa.table({"image": images, "caption": captions}), folder / "in" / "a.parquet")


def _jpeg(seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


if __name__ == "__main__":
    main()

"""What it costs the driver to replace every row of one large source in one commit.

    python -m benchmarks.replacing [ROWS…]

For each number of rows: a table of one source, all of it staged anew in pieces of 64 rows as a run does, and committed
in place of the old rows. In a process for each, so that peaks are its own.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks import filtering
from pipeline import schema, table
from pipeline.schema import Identity
from pipeline.table import Committer, Replacing

DIMENSION, ROWS_PER_PIECE, ROWS_PER_FRAGMENT = 8, 64, 65_536
SOURCE, OLD, NEW = "all.parquet", "1-1", "2-2"


def rows(first: int, count: int, version: str, identity: Identity) -> pa.Table:
    made = filtering.rows(first, count, identity, np.random.default_rng(first))
    values = {
        schema.SOURCE: pa.repeat(SOURCE, count),
        schema.SOURCE_VERSION: pa.repeat(version, count),
        schema.SOURCE_ROW: pa.array(np.arange(first, first + count)),
        schema.IMAGE_SHA256: pa.array([f"{number:064x}" for number in range(first, first + count)]),
    }
    return pa.table({name: values.get(name, made[name]) for name in made.schema.names}, made.schema)


def replace(total: int) -> None:
    identity = Identity("w" * 64, "hf-bicubic-aa.v1@32", None, "float32", DIMENSION, "a-model", 10.0, -10.0)
    with tempfile.TemporaryDirectory() as folder:
        uri = table.parse(str(Path(folder) / "t"))
        columns = schema.table_schema(identity)
        old = range(0, total, ROWS_PER_FRAGMENT)
        Committer(uri, columns, None).commit(
            [table.stage(uri, rows(at, min(ROWS_PER_FRAGMENT, total - at), OLD, identity)) for at in old]
        )
        new = range(0, total, ROWS_PER_PIECE)
        staged = [
            table.stage(uri, rows(at, min(ROWS_PER_PIECE, total - at), NEW, identity), by_source=True) for at in new
        ]
        committer = Committer(uri, columns, table.open_table(uri), Replacing({SOURCE: NEW}))
        started, cpu = time.perf_counter(), time.process_time()
        committer.commit(staged)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        assert table.open_table(uri).count() == total
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    figures = {"rows": total, "seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1), "peak_rss_mb": peak}
    print(json.dumps(figures), flush=True)


def main(*totals: int) -> None:
    for total in totals or (100_000, 200_000, 400_000):
        process = multiprocessing.get_context("spawn").Process(target=replace, args=(total,))
        process.start()
        process.join()
        assert process.exitcode == 0


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

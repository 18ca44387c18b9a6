"""How long a resume over a finished table takes, and what memory: planning by listing and the scan of the ledger.

    python -m benchmarks.resume [ROWS] [SOURCES] [COMMITS]

Makes a table of so many rows with vectors of 8 numbers in a temporary folder, in COMMITS commits of merged fragments,
and asks what is left to do of SOURCES sources. Each figure is the median of three.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline import resume, schema, table
from pipeline.sample import Chunk, Source
from pipeline.schema import Identity
from pipeline.table import Committer, TableUri

DIMENSION = 8
IDENTITY = Identity("w" * 64, "hf-bicubic-aa.v1@32", None, "float32", DIMENSION, "a-model", 10.0, -10.0)


def rows(source: str, count: int) -> pa.Table:
    """All rows of a source, in the table's schema."""
    columns = schema.table_schema(IDENTITY)
    numbers = np.arange(count)
    vector = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(count * DIMENSION, np.float16)), DIMENSION)
    text = pa.array(numbers).cast(pa.string())
    values = {
        schema.UID: text,
        schema.KEY: text,
        schema.SOURCE: pa.repeat(source, count),
        schema.SOURCE_VERSION: pa.repeat("104857600-1700000000.000000", count),
        schema.SOURCE_ROW: pa.array(numbers),
        schema.SOURCE_ROWS: pa.repeat(count, count),
        schema.STATUS: pa.repeat(schema.SUCCESS, count),
        schema.IMAGE_VECTOR: vector,
        schema.TEXT_VECTOR: vector,
    }
    missing = {field.name: pa.nulls(count, field.type) for field in columns if field.name not in values}
    return pa.table({name: (values | missing)[name] for name in columns.names}, columns)


def make(uri: TableUri, total: int, sources: int, commits: int) -> list[Chunk]:
    each = total // sources
    writer = Committer(uri, schema.table_schema(IDENTITY), None)
    paths = [f"laion/part-{number // 1000:03d}/{number:06d}.tar" for number in range(sources)]
    for group in np.array_split(np.arange(sources), commits):
        staged = [
            table.stage(uri, pa.concat_tables([rows(paths[i], each) for i in part])) for part in _parts(group, each)
        ]
        writer.commit(staged)
        writer.merge_fragments()
    return [Chunk((Source(path, f"s3://b/{path}", "104857600-1700000000.000000", 104857600),)) for path in paths]


def _parts(group: np.ndarray, each: int) -> Iterator[np.ndarray]:
    """Sources that share a fragment: enough of them for 65,536 rows."""
    share = max(1, 65_536 // each + 1)
    for start in range(0, len(group), share):
        yield group[start : start + share]


def median_seconds(work: Callable[[], object]) -> float:
    times = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main(total: int = 10_000_000, sources: int = 1_000, commits: int = 100) -> None:
    with tempfile.TemporaryDirectory() as folder:
        uri = table.parse(str(Path(folder) / "t"))
        started = time.perf_counter()
        chunks = make(uri, total, sources, commits)
        making = time.perf_counter() - started
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        left, skipped = resume.remaining(chunks, table.open_table(uri))
        assert not left, "the table is finished"
        assert skipped == total // sources * sources
        figures = {
            "rows": skipped,
            "sources": sources,
            "commits": commits,
            "fragments": len(table.open_table(uri).dataset.get_fragments()),
            "making_seconds": round(making, 1),
            "open_seconds": round(median_seconds(lambda: table.open_table(uri)), 4),
            "resume_seconds": round(median_seconds(lambda: resume.remaining(chunks, table.open_table(uri))), 3),
            "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "peak_rss_before_mb": before // 1024,
        }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

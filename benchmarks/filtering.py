"""What scoring and filtering cost beside a scan of the columns that they read, and what memory.

    python -m benchmarks.filtering [ROWS] [DIMENSION]

Makes a table of so many rows with random vectors in a temporary folder, in fragments as a run leaves them. The scans
and the filters that are held against them take turns, seven of each after one that is not counted; the figures are
medians of the seconds, and of the factors over the scan of the same turn. That is Lance's own scan, as it comes; the
other one decodes on all cores, as filters do. Scoring, the estimated cut and q-values run once.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import processes, schema, scoring, table
from pipeline.filtering import Selection, filter_table, one_cut, parquet_parts, written_as
from pipeline.filtering.rule import parse_rule
from pipeline.schema import Identity
from pipeline.table import Committer, TableUri

RULE = {
    "all": [
        {"by": schema.COSINE, "top_fraction": 0.5},
        {"any": [{"by": schema.SOURCE_ROW, "top_fraction": 0.5}, {"by": schema.COSINE, "min": 0.4}]},
        {"weighted_sum": {schema.COSINE: 0.7, schema.SOURCE_ROW: 0.3}, "top_fraction": 0.5},
    ]
}
ROUNDS = 7
ROWS_PER_FRAGMENT, FRAGMENTS_PER_COMMIT, ROWS_PER_SOURCE = 65_536, 16, 10_000


def rows(first: int, count: int, identity: Identity, rng: np.random.Generator) -> pa.Table:
    """Pairs whose cosines spread around 0.4, in the table's schema."""
    columns = schema.table_schema(identity)
    image = rng.standard_normal((count, identity.dimension), np.float32)
    text = 0.4 * image + 0.9 * rng.standard_normal((count, identity.dimension), np.float32)
    numbers = np.arange(first, first + count)
    values = {
        schema.UID: pa.array([rng.bytes(16).hex() for _ in range(count)]),
        schema.KEY: pa.array(numbers).cast(pa.string()),
        schema.SOURCE: pa.array([f"part-{number // ROWS_PER_SOURCE:05d}.parquet" for number in numbers.tolist()]),
        schema.SOURCE_VERSION: pa.repeat("104857600-1700000000.000000", count),
        schema.SOURCE_ROW: pa.array(numbers % ROWS_PER_SOURCE),
        schema.CAPTION: pa.array([f"a caption of some words, number {number}" for number in numbers.tolist()]),
        schema.STATUS: pa.repeat(schema.SUCCESS, count),
        schema.IMAGE_VECTOR: _vectors(image),
        schema.TEXT_VECTOR: _vectors(text),
    }
    missing = {field.name: pa.nulls(count, field.type) for field in columns if field.name not in values}
    return pa.table({name: (values | missing)[name] for name in columns.names}, columns)


def _vectors(vectors_ND: np.ndarray) -> pa.FixedSizeListArray:
    unit_ND = vectors_ND / np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    return pa.FixedSizeListArray.from_arrays(pa.array(unit_ND.astype(np.float16).ravel()), vectors_ND.shape[1])


def make(uri: TableUri, total: int, dimension: int) -> None:
    identity = Identity("w" * 64, "hf-bicubic-aa.v1@32", None, "float32", dimension, "a-model", 10.0, -10.0)
    rng = np.random.default_rng(0)
    writer = Committer(uri, schema.table_schema(identity), None)
    starts = list(range(0, total, ROWS_PER_FRAGMENT))
    for group in range(0, len(starts), FRAGMENTS_PER_COMMIT):
        writer.commit(
            [
                table.stage(uri, rows(start, min(ROWS_PER_FRAGMENT, total - start), identity, rng))
                for start in starts[group : group + FRAGMENTS_PER_COMMIT]
            ]
        )


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def scan(uri: TableUri, columns: Sequence[str], **options: Any) -> None:
    for _ in table.open_table(uri).lance.scanner(columns=list(columns), **options).to_batches():
        pass


def works(uri: TableUri, folder: Path) -> dict[str, Callable[[], float]]:
    """What takes turns: each gives the seconds that it took."""
    scalars, cores = parquet_parts.columns(table.open_table(uri)).names, os.cpu_count() or 1
    best, half = Selection(one_cut(schema.COSINE, top_fraction=0.3)), Selection(one_cut(schema.COSINE, min=0.4))

    def run(selection: Selection, output_format: str) -> float:
        os.sync()  # what earlier work has left to be written
        output = folder / "filtered"
        taken = seconds(lambda: filter_table(table.open_table(uri), selection, output, written_as(output_format)))
        shutil.rmtree(output)
        return taken

    return {
        "scan_scalars": lambda: seconds(lambda: scan(uri, scalars)),
        "scan_scalars_on_all_cores": lambda: seconds(lambda: scan(uri, scalars, batch_readahead=cores)),
        "top_fraction_0.3_parquet": lambda: run(best, "parquet"),
        "top_fraction_0.3_datacomp": lambda: run(best, "datacomp"),
        "min_parquet": lambda: run(half, "parquet"),
        "rule_of_four_cuts_parquet": lambda: run(Selection(rule=parse_rule(RULE, "rule")), "parquet"),
    }


def in_turns(works: dict[str, Callable[[], float]]) -> dict[str, object]:
    rounds = [{name: once() for name, once in works.items()} for _ in range(ROUNDS + 1)][1:]
    found: dict[str, object] = {}
    for name in works:
        found[name] = round(statistics.median(taken[name] for taken in rounds), 3)
        found[f"{name}_factor"] = round(statistics.median(taken[name] / taken["scan_scalars"] for taken in rounds), 2)
    return found


def main(total: int = 1_000_000, dimension: int = 64) -> None:
    processes.keep_freed_memory()  # as the command does
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        uri = table.parse(str(folder / "t"))
        make(uri, total, dimension)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        figures: dict[str, object] = {"rows": total, "dimension": dimension}
        vectors = [schema.IMAGE_VECTOR, schema.TEXT_VECTOR]
        # which for all rows takes more than twice as long as for those that meet a condition
        scans = [seconds(lambda: scan(uri, vectors, filter=table.EMBEDDED)) for _ in range(ROUNDS + 1)][1:]
        figures["scan_vectors"] = round(statistics.median(scans), 3)
        figures["score"] = round(seconds(lambda: list(scoring.score_table(uri))), 3)
        figures |= in_turns(works(uri, folder))
        estimated = Selection(one_cut(schema.COSINE, max_mismatch_fraction=0.05))
        spent = seconds(lambda: filter_table(table.open_table(uri), estimated, folder / "estimated"))
        figures["max_mismatch_fraction"] = round(spent, 3)
        figures["q_value"] = round(seconds(lambda: list(scoring.fill_signal(uri, "q_value"))), 3)
        figures["peak_rss_before_mb"] = before // 1024
        figures["peak_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

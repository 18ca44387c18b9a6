"""Writes a list of rejected rows to a file, a batch at a time, so that memory does not grow with the list."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from pipeline.upkeep.rejects import COLUMNS

Write = Callable[[pa.Table], None]


@contextmanager
def _csv(path: Path) -> Iterator[Write]:
    with pyarrow.csv.CSVWriter(path, COLUMNS) as writer:
        yield writer.write_table


@contextmanager
def _parquet(path: Path) -> Iterator[Write]:
    with pyarrow.parquet.ParquetWriter(path, COLUMNS) as writer:
        yield writer.write_table


@contextmanager
def _jsonl(path: Path) -> Iterator[Write]:
    with path.open("w", encoding="utf-8") as file:
        yield lambda rows: file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows.to_pylist())


FORMATS = {".csv": _csv, ".parquet": _parquet, ".jsonl": _jsonl}
"""writers by the suffix of the file's name: (path) -> context that gives the function to write rows with"""

"""The input and the table that every schedule begins with: a handful of rows, so that a commit takes milliseconds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import schema, scoring, table
from pipeline.sample import Chunk, Sample, Source
from pipeline.schema import Identity
from pipeline.table import Committer, TableUri
from pipeline.table.tombstones import tombstones

DIMENSION = 2
FULL = 4
"""rows of a fragment that is not merged any more"""

IDENTITY = Identity("w" * 64, "hf-bicubic-aa.v1@32", None, "float32", DIMENSION, "a-model", 10.0, -10.0)
COLUMNS = schema.table_schema(IDENTITY)

ROWS = {"a": 4, "b": 3, "c": 4, "d": 2}
FIRST, COPIED, CHANGED = "10-1", "10-2", "20-3"
"""versions of a source; COPIED has another time than FIRST, and the same content"""
REJECTED_AT_FIRST = ("b", 1)
REMOVED = ("b", 2)


def source(path: str, version: str = FIRST) -> Source:
    return Source(path, f"/in/{path}", version, 10)


def chunk(path: str, version: str = FIRST) -> Chunk:
    return Chunk((source(path, version),))


def read(chunk: Chunk) -> Iterator[Sample]:
    """The samples of a chunk's sources. Rows 0 and 3 of one source have the same image."""
    for held in chunk.sources:
        for row in range(ROWS[held.path]):
            caption = f"{held.path} {row}" + (" changed" if held.version == CHANGED else "")
            yield Sample(held, row, ROWS[held.path], f"key {row}", f"{held.path} {row % 3}".encode(), caption)


def rows_of(samples: list[Sample], rejects: bool = False) -> pa.Table:
    """What embedding makes of samples. `rejects`: one of them is rejected, as it is at the first try."""
    records = [_record(sample, rejects) for sample in samples]
    return pa.Table.from_pylist(records, schema=COLUMNS)


def _record(sample: Sample, rejects: bool) -> dict[str, Any]:
    path, row = sample.source.path, sample.row
    angle = np.random.default_rng([ord(path), row, len(sample.caption or "")]).uniform(0, 7, 2)
    image, text = (np.array([np.cos(x), np.sin(x)], np.float16) for x in angle)
    is_rejected = rejects and (path, row) == REJECTED_AT_FIRST
    return {
        schema.UID: schema.make_uid(path, sample.key),
        schema.KEY: sample.key,
        schema.SOURCE: path,
        schema.SOURCE_VERSION: sample.source.version,
        schema.SOURCE_ROW: row,
        schema.SOURCE_ROWS: ROWS[path],
        schema.CAPTION: sample.caption,
        schema.IMAGE_SHA256: hashlib.sha256(sample.image or b"").hexdigest(),
        schema.STATUS: schema.REJECTED if is_rejected else schema.SUCCESS,
        schema.STAGE: "read" if is_rejected else None,
        schema.REASON: "timeout" if is_rejected else None,
        schema.IMAGE_VECTOR: None if is_rejected else image,
        schema.TEXT_VECTOR: None if is_rejected else text,
    }


def make_table(uri: TableUri) -> None:
    """A full fragment of source a, scored; then source b in two small ones: one row rejected, one a tombstone."""
    committer = Committer(uri, COLUMNS, None)
    committer.commit([table.stage(uri, rows_of(list(read(chunk("a")))))])
    list(scoring.score_table(uri))
    committer = Committer(uri, COLUMNS, table.open_table(uri))
    b = rows_of(list(read(chunk("b"))), rejects=True)
    committer.commit([table.stage(uri, b.slice(0, 2))])
    committer.commit([table.stage(uri, tombstones(b.slice(2), COLUMNS))])


def make_small_table(uri: TableUri) -> None:
    """The same rows; every fragment is small, the first one too, so that merges take it in."""
    committer = Committer(uri, COLUMNS, None)
    a, b = (rows_of(list(read(chunk(path))), rejects=True) for path in "ab")
    committer.commit([table.stage(uri, a.slice(0, 2))])
    list(scoring.score_table(uri))
    committer = Committer(uri, COLUMNS, table.open_table(uri))
    for part in (a.slice(2), b.slice(0, 2), tombstones(b.slice(2), COLUMNS)):
        committer.commit([table.stage(uri, part)])


def make_tagged_table(uri: TableUri) -> None:
    """As `make_table`; another tool's cleanup keeps the version that the schedules begin with."""
    make_table(uri)
    table.open_table(uri).tag("kept")


def make_none(uri: TableUri) -> None:
    """No table yet."""
    Path(uri.database).mkdir(parents=True, exist_ok=True)


BEGINNINGS = {"table": make_table, "small": make_small_table, "tagged": make_tagged_table, "none": make_none}

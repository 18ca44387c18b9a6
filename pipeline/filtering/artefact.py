"""Filtering: a query over stored scores. It leaves a folder of Parquet with a manifest, whole, or nothing at all."""

from __future__ import annotations

import json
import math
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import schema
from pipeline.errors import TableError, UsageError
from pipeline.filters import top_fraction
from pipeline.filters.cut import Cut, Scores
from pipeline.table import EMBEDDED, Table

ROWS_PER_SHARD = 1 << 20
# Readers of Parquet folders leave out files whose names begin so.
MANIFEST = "_manifest.json"

# Null in every kept row, or of use to the ledger alone.
_LEFT_OUT = {
    schema.IMAGE_VECTOR,
    schema.TEXT_VECTOR,
    schema.STATUS,
    schema.STAGE,
    schema.REASON,
    schema.ERROR_MESSAGE,
}


@dataclass(frozen=True)
class Selection:
    """Which pairs to keep: exactly one of `minimum` and `top_fraction` is given."""

    by: str
    """the score's column"""
    minimum: float | None = None
    top_fraction: float | None = None
    where: str | None = None
    """SQL over the table's columns; other rows are left out before anything is ranked"""

    @property
    def condition(self) -> str:
        return f"{EMBEDDED} AND ({self.where})" if self.where else EMBEDDED


@dataclass(frozen=True)
class Filtered:
    rows: int
    """embedded pairs that meet the selection's condition"""
    scored: int
    kept: int
    threshold: float | None
    """the lowest score kept; None where nothing is"""


def filter_table(table: Table, selection: Selection, output: Path) -> Filtered:
    """Writes the kept pairs and a manifest into the folder `output`, which must not exist yet.

    Raises:
        UsageError: `output` is there already.
        TableError: no pair is scored, or `where` is not SQL over this table.
    """
    if output.exists():
        raise UsageError(f"output {output}: is there already; remove it or name another --output")
    rows, scores = _scores(table, selection)
    cut = _cut(selection, scores)
    partial = output.with_name(f"{output.name}.partial-{uuid.uuid4().hex}")
    partial.mkdir(parents=True)
    try:
        kept = _write_shards(_kept_batches(table, selection, cut), _output_schema(table), partial)
        result = Filtered(rows, len(scores), kept, cut.threshold if math.isfinite(cut.threshold) else None)
        (partial / MANIFEST).write_text(json.dumps(_manifest(table, selection, result), indent=2) + "\n", "utf-8")
        partial.rename(output)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return result


def _scores(table: Table, selection: Selection) -> tuple[int, Scores]:
    """(rows that meet the condition, the scores of those that have one)."""
    columns = [batch[selection.by] for batch in table.scan([selection.by], selection.condition)]
    rows = sum(len(column) for column in columns)
    scores = (
        np.concatenate([column.drop_null().to_numpy() for column in columns]) if columns else np.empty(0, np.float32)
    )
    scores = scores[~np.isnan(scores)]
    if len(scores) == 0:
        raise TableError(
            f"table {table.uri}: none of the {rows} rows has a {selection.by}; "
            f"run `siglane score --table {table.uri}` first"
        )
    return rows, scores


def _cut(selection: Selection, scores: Scores) -> Cut:
    if selection.minimum is not None:
        return Cut(selection.minimum)
    assert selection.top_fraction is not None
    return top_fraction.cut(scores, selection.top_fraction)


def _kept_batches(table: Table, selection: Selection, cut: Cut) -> Iterator[pa.RecordBatch]:
    winners = _tie_winners(table, selection, cut)
    for batch in table.scan(_output_schema(table).names, selection.condition):
        scores = batch[selection.by]
        if winners is None:
            mask = pc.greater_equal(scores, cut.threshold)
        else:
            won = pa.array([key in winners for key in _ledger_keys(batch)])
            mask = pc.or_(pc.greater(scores, cut.threshold), pc.and_(pc.equal(scores, cut.threshold), won))
        yield batch.filter(mask)  # drops where the mask is null: a row without a score


def _tie_winners(table: Table, selection: Selection, cut: Cut) -> set[tuple[str, int]] | None:
    """(source, source_row) of those rows exactly at the threshold that are kept; None where all are."""
    if cut.ties_kept is None:
        return None
    columns = [schema.UID, schema.SOURCE, schema.SOURCE_ROW, selection.by]
    tied: list[tuple[str, tuple[str, int]]] = []
    for batch in table.scan(columns, selection.condition):
        rows = batch.filter(pc.equal(batch[selection.by], cut.threshold))
        tied += zip(rows[schema.UID].to_pylist(), _ledger_keys(rows), strict=True)
    return {key for _, key in sorted(tied)[: cut.ties_kept]}


def _ledger_keys(batch: pa.RecordBatch) -> list[tuple[str, int]]:
    return list(zip(batch[schema.SOURCE].to_pylist(), batch[schema.SOURCE_ROW].to_pylist(), strict=True))


def _output_schema(table: Table) -> pa.Schema:
    return pa.schema([field for field in table.schema if field.name not in _LEFT_OUT])


def _write_shards(batches: Iterator[pa.RecordBatch], columns: pa.Schema, folder: Path) -> int:
    """Writes `part-00000.parquet` and so on, at least one; gives the number of rows."""
    total = in_shard = shard = 0
    writer = pq.ParquetWriter(folder / f"part-{shard:05d}.parquet", columns)
    try:
        for batch in batches:
            if in_shard >= ROWS_PER_SHARD:
                writer.close()
                shard, in_shard = shard + 1, 0
                writer = pq.ParquetWriter(folder / f"part-{shard:05d}.parquet", columns)
            writer.write_batch(batch)
            in_shard += batch.num_rows
            total += batch.num_rows
    finally:
        writer.close()
    return total


def _manifest(table: Table, selection: Selection, result: Filtered) -> dict[str, Any]:
    identity = table.identity
    return {
        "table": str(table.uri),
        "table_version": table.version,
        "identity": json.loads(identity.to_json()),
        "by": selection.by,
        "min": selection.minimum,
        "top_fraction": selection.top_fraction,
        "where": selection.where,
        "rows": result.rows,
        "scored": result.scored,
        "kept": result.kept,
        "threshold": result.threshold,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }

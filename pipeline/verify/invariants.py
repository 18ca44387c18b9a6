"""Checks of single rows: one function per check. All checks run on one scan of the table, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema, table
from pipeline.progress import current
from pipeline.table import ROW_ADDRESS, Table
from pipeline.vectors import to_numpy_with_nulls
from pipeline.verify.problem import EMBED_AGAIN, EXAMPLES, Problem, Repaired

Mask = npt.NDArray[np.bool_]

BYTES_PER_BATCH = 4 << 20
"""of vectors"""
COSINE_TOLERANCE = 1e-3
STATUSES = (schema.SUCCESS, schema.REJECTED, schema.REMOVED)
VECTORS = (schema.IMAGE_VECTOR, schema.TEXT_VECTOR)

_REQUIRED = [column.name for column in schema.PAIR_FIELDS if not column.nullable]
_COLUMNS = [
    *_REQUIRED,
    *(schema.STAGE, schema.REASON, schema.ERROR_MESSAGE, schema.CAPTION, schema.IMAGE_SHA256),
    *VECTORS,
    *schema.SCORES,
]


class Batch:
    """A batch of rows, with values that several checks need. Every array is [N], except the vectors."""

    def __init__(self, rows: pa.RecordBatch) -> None:
        self.rows = rows

    def is_null(self, name: str) -> Mask:
        return _mask(self.rows[name].is_null())

    def is_status(self, status: str) -> Mask:
        return _mask(pc.fill_null(pc.equal(self.rows[schema.STATUS], status), False))

    def vectors(self, name: str) -> npt.NDArray[np.float32]:
        """float32 [N, D]; zeros if the vector is null."""
        return self._vectors[name]

    def norms(self, name: str) -> npt.NDArray[np.float32]:
        """Lengths of the vectors; 0 for null vectors."""
        return self._norms[name]

    @cached_property
    def _vectors(self) -> dict[str, npt.NDArray[np.float32]]:
        return {name: to_numpy_with_nulls(self.rows[name], self.rows[name].type.list_size, 0) for name in VECTORS}

    @cached_property
    def _norms(self) -> dict[str, npt.NDArray[np.float32]]:
        with np.errstate(over="ignore", invalid="ignore"):
            return {name: np.sqrt(np.einsum("nd,nd->n", v, v)) for name, v in self._vectors.items()}


def _mask(values: pa.Array) -> Mask:
    mask: Mask = values.to_numpy(zero_copy_only=False)
    return mask.astype(bool)


def lacks_required(batch: Batch) -> Mask:
    """A null in a required column."""
    return _any(batch.is_null(name) for name in _REQUIRED)


def wrong_uid(batch: Batch) -> Mask:
    return ~_mask(pc.fill_null(pc.match_substring_regex(batch.rows[schema.UID], f"^{schema.UID_PATTERN}$"), True))


def unknown_status(batch: Batch) -> Mask:
    return ~_any([batch.is_status(status) for status in STATUSES])


def success_lacks(batch: Batch) -> Mask:
    """Embedded, but the vector of its image or its caption is missing, or it has a stage, reason or error message."""
    no_image, no_text = (batch.is_null(name) for name in VECTORS)
    # imported vectors have no image here, and may come without vectors of the captions
    is_imported = batch.is_null(schema.IMAGE_SHA256) & ~no_image
    no_text &= ~is_imported
    lacking = (no_image & ~batch.is_null(schema.IMAGE_SHA256)) | (no_text & ~batch.is_null(schema.CAPTION))
    says_why = _any(~batch.is_null(name) for name in (schema.STAGE, schema.REASON, schema.ERROR_MESSAGE))
    return batch.is_status(schema.SUCCESS) & (lacking | (no_image & no_text) | says_why)


def rejected_wrong(batch: Batch) -> Mask:
    """Rejected, but without stage and reason, or with a vector."""
    unsaid = batch.is_null(schema.STAGE) | batch.is_null(schema.REASON)
    return batch.is_status(schema.REJECTED) & (unsaid | _any(~batch.is_null(name) for name in VECTORS))


def removed_holds(batch: Batch) -> Mask:
    """Removed, but the caption or a vector still exists."""
    return batch.is_status(schema.REMOVED) & _any(~batch.is_null(name) for name in (schema.CAPTION, *VECTORS))


def not_finite(batch: Batch) -> Mask:
    """NaN or infinite numbers in a vector."""
    return ~_all_finite(batch, VECTORS[0]) | ~_all_finite(batch, VECTORS[1])


def _all_finite(batch: Batch, name: str) -> Mask:
    return np.asarray(np.isfinite(batch.vectors(name)).all(axis=1))


def not_unit(batch: Batch) -> Mask:
    """A finite vector whose length is not 1, within the rounding of its type."""
    return _any(_is_off(batch, name) for name in VECTORS) & ~not_finite(batch)


def _is_off(batch: Batch, name: str) -> Mask:
    off: Mask = np.abs(batch.norms(name) - 1) > unit_tolerance(batch.rows[name].type)
    return off & ~batch.is_null(name)


def unit_tolerance(vector: pa.DataType) -> float:
    """How far rounding can move a length from 1: half an eps per float16 number; float32 sums lose a little more."""
    eps = float(np.finfo(vector.value_type.to_pandas_dtype()).eps)
    return eps if vector.value_type == pa.float16() else 32 * eps


def wrong_score(batch: Batch) -> Mask:
    """A score that is NaN, out of range, of other vectors, on a row without both vectors, or on a row not embedded.

    Filters rely on the last rule: they treat every row with a score as embedded.
    """
    cosine, logit, probability = (
        batch.rows[name].to_numpy(zero_copy_only=False).astype(np.float64) for name in schema.SCORES
    )
    has = [~batch.is_null(name) for name in schema.SCORES]
    scored = _any(has)
    incomplete = scored & ~np.logical_and.reduce(has)
    pairless = scored & _any(batch.is_null(name) for name in VECTORS)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        image, text = (batch.vectors(name) for name in VECTORS)
        expected = np.einsum("nd,nd->n", image, text) / (batch.norms(VECTORS[0]) * batch.norms(VECTORS[1]))
        # written so that NaN counts as wrong
        right = (np.abs(cosine - expected) <= COSINE_TOLERANCE) & np.isfinite(logit)
        right &= (probability >= 0) & (probability <= 1)
    wrong: Mask = incomplete | pairless | (scored & ~right)
    not_embedded = batch.is_status(schema.REJECTED) | batch.is_status(schema.REMOVED)
    return (batch.is_status(schema.SUCCESS) & wrong) | (not_embedded & scored)


def _any(masks: Iterable[Mask]) -> Mask:
    found: Mask = np.logical_or.reduce(list(masks))
    return found


@dataclass(frozen=True)
class RowCheck:
    name: str
    find: Callable[[Batch], Mask]
    clear: Sequence[str] = ()
    """columns that a repair sets to null; if empty, a repair deletes the rows, and the next run embeds them again"""


CHECKS = (
    RowCheck("required-columns", lacks_required),
    RowCheck("uid-format", wrong_uid),
    RowCheck("status-values", unknown_status),
    RowCheck("success-rows", success_lacks),
    RowCheck("rejected-rows", rejected_wrong),
    RowCheck("removed-rows", removed_holds, clear=(schema.CAPTION, *VECTORS)),
    RowCheck("finite-vectors", not_finite),
    RowCheck("unit-vectors", not_unit),
    RowCheck("scores", wrong_score, clear=schema.SCORES),
)


THUMBNAILS = RowCheck("thumbnails", lambda batch: ~batch.is_null(schema.THUMBNAIL), clear=(schema.THUMBNAIL,))
"""of tables that store them, in a scan of its own: a scan of all thumbnails would take long"""


@dataclass
class _Found:
    count: int = 0
    examples: list[str] = field(default_factory=list)
    addresses: list[npt.NDArray[np.uint64]] = field(default_factory=list)

    def add(self, rows: pa.RecordBatch) -> None:
        self.count += rows.num_rows
        self.addresses.append(rows[ROW_ADDRESS].to_numpy())
        shown = rows.slice(0, EXAMPLES - len(self.examples)).select([schema.SOURCE, schema.SOURCE_ROW])
        self.examples += [f"{row[schema.SOURCE]} row {row[schema.SOURCE_ROW]}" for row in shown.to_pylist()]


def check_rows(checked: Table) -> list[Problem]:
    """Runs every check of `CHECKS` in one scan of the table.

    Memory: a few batches of `BYTES_PER_BATCH`, and 8 bytes for each wrong row.
    """
    found = {check.name: _Found() for check in CHECKS}
    vector = checked.schema.field(schema.IMAGE_VECTOR).type
    bytes_per_row = 2 * checked.dimension * vector.value_type.bit_width // 8
    rows_per_batch = max(64, BYTES_PER_BATCH // bytes_per_row)
    for rows in checked.scan(_COLUMNS, where=None, addresses=True, rows_per_batch=rows_per_batch, sparing=True):
        batch = Batch(rows)
        current.add(rows.num_rows)
        for check in CHECKS:
            if (mask := check.find(batch)).any():
                found[check.name].add(rows.filter(pa.array(mask)))
    return [_problem(checked, check, found[check.name]) for check in CHECKS if found[check.name].count]


def check_thumbnails(checked: Table) -> list[Problem]:
    """No row that is rejected or removed has a thumbnail. Only the thumbnails of such rows are read."""
    found = _Found()
    columns = [schema.SOURCE, schema.SOURCE_ROW, schema.THUMBNAIL]
    for rows in checked.scan(columns, f"{schema.STATUS} <> '{schema.SUCCESS}'", addresses=True, sparing=True):
        stored = rows.filter(rows[schema.THUMBNAIL].is_valid())
        if stored.num_rows:
            found.add(stored)
    return [_problem(checked, THUMBNAILS, found)] if found.count else []


def _problem(checked: Table, check: RowCheck, found: _Found) -> Problem:
    addresses = np.concatenate(found.addresses)
    repair = partial(_clear if check.clear else _delete, checked, addresses, *check.clear)
    fix = EMBED_AGAIN
    if check.clear:
        again = "; siglane score then computes them again" if check.clear == schema.SCORES else ""
        fix = f"--repair sets {', '.join(check.clear)} to null in these rows{again}"
    return Problem(check.name, found.count, tuple(found.examples), fix, repair)


def _delete(checked: Table, addresses: npt.NDArray[np.uint64]) -> Repaired:
    rows = table.delete_rows(checked.uri, addresses)
    return Repaired(f"rows deleted: {rows}", to_embed=rows)


def _clear(checked: Table, addresses: npt.NDArray[np.uint64], *columns: str) -> Repaired:
    rows = table.clear_values(checked.uri, addresses, columns)
    return Repaired(f"{', '.join(columns)} set to null; rows: {rows}")

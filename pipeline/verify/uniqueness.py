"""Finds rows that are in a table twice, in memory that does not grow with the table.

First, keys become 64-bit numbers. Then only rows whose number occurs twice are compared by key. A table with more rows
than `ROWS_PER_PASS` needs several passes, each for a part of the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema, table
from pipeline.table import ROW_ADDRESS, ROWS_PER_BATCH, Table
from pipeline.verify.problem import EXAMPLES, Problem, Repaired

ROWS_PER_PASS = 1 << 24

Numbers = npt.NDArray[np.uint64]

_LEDGER = [schema.SOURCE, schema.SOURCE_ROW]
# Of several rows of one sample, one is kept: a tombstone first, so that the pair stays removed, then an embedded row.
_KEPT_FIRST = [schema.REMOVED, schema.SUCCESS, schema.REJECTED]


def check_ledger_keys(checked: Table) -> list[Problem]:
    """Every (source, source_row) occurs once."""
    found = pa.concat_tables(_twice(checked, _LEDGER, _ledger_numbers)).combine_chunks()
    if not found.num_rows:
        return []
    rank = pc.fill_null(pc.index_in(found[schema.STATUS], value_set=pa.array(_KEPT_FIRST)), len(_KEPT_FIRST))
    ordered = found.append_column("rank", rank).sort_by(
        [(name, "ascending") for name in (*_LEDGER, "rank", ROW_ADDRESS)]
    )
    surplus = ordered.filter(_repeats(ordered, _LEDGER))
    addresses = surplus[ROW_ADDRESS].to_numpy()
    return [
        Problem(
            "ledger-keys",
            surplus.num_rows,
            tuple(f"{row['source']} row {row['source_row']}" for row in surplus.slice(0, EXAMPLES).to_pylist()),
            "--repair keeps one row per sample and deletes the others",
            partial(_delete, checked, addresses),
        )
    ]


def check_uids(checked: Table) -> list[Problem]:
    """No two samples have the same uid. (`check_ledger_keys` finds several rows of one sample.)"""
    found = pa.concat_tables(_twice(checked, [schema.UID], _uid_numbers))
    by_uid = found.group_by([*_LEDGER, schema.UID]).aggregate([]).group_by(schema.UID).aggregate([([], "count_all")])
    shared = by_uid.filter(pc.greater(by_uid["count_all"], 1)).sort_by(schema.UID)
    if not shared.num_rows:
        return []
    return [
        Problem(
            "uids",
            pc.sum(shared["count_all"]).as_py() - shared.num_rows,
            tuple(shared[schema.UID].slice(0, EXAMPLES).to_pylist()),
            "several samples of the input have the same uid: name a column with unique values with --uid-col, and "
            "embed into another table",
        )
    ]


def _delete(checked: Table, addresses: Numbers) -> Repaired:
    return Repaired(f"repeated rows deleted: {table.delete_rows(checked.uri, addresses)}")


def _twice(checked: Table, keys: Sequence[str], numbers: Callable[[pa.RecordBatch], Numbers]) -> Iterator[pa.Table]:
    """The rows whose keys occur twice: ledger columns, uid, status and address. Yields at least an empty table."""
    columns = list(dict.fromkeys([*_LEDGER, schema.UID, schema.STATUS]))
    empty = pa.schema([checked.schema.field(name) for name in columns]).append(pa.field(ROW_ADDRESS, pa.uint64()))
    yield empty.empty_table()
    passes = -(-checked.count() // ROWS_PER_PASS)
    for number in range(passes):
        seen = [_share(numbers(batch), number, passes) for batch in _scan(checked, keys)]
        repeated = _repeated(np.concatenate(seen))
        del seen
        if not len(repeated):
            continue
        suspects = [
            batch.filter(pa.array(_is_among(numbers(batch), repeated)))
            for batch in _scan(checked, columns, addresses=True)
        ]
        suspected = pa.Table.from_batches(suspects).cast(empty).sort_by([(name, "ascending") for name in keys])
        again = _repeats(suspected, keys)
        # a repeat, or a row that the next one repeats
        either = np.logical_or(again, np.append(again[1:], False))
        yield suspected.filter(pa.array(either))


def _scan(checked: Table, columns: Sequence[str], addresses: bool = False) -> Iterator[pa.RecordBatch]:
    return checked.scan(columns, where=None, addresses=addresses, rows_per_batch=ROWS_PER_BATCH)


def _share(numbers: Numbers, number: int, passes: int) -> Numbers:
    return numbers if passes == 1 else numbers[numbers % np.uint64(passes) == number]


def _repeated(numbers: Numbers) -> Numbers:
    numbers.sort()
    return np.unique(numbers[1:][numbers[1:] == numbers[:-1]])


def _is_among(numbers: Numbers, found: Numbers) -> npt.NDArray[np.bool_]:
    """Which numbers are in `found`, which is sorted. (`np.isin` would sort `found` again for each batch.)"""
    places = np.minimum(np.searchsorted(found, numbers), len(found) - 1)
    among: npt.NDArray[np.bool_] = found[places] == numbers
    return among


def _repeats(ordered: pa.Table, keys: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Marks the rows whose keys equal those of the row before. The rows must be sorted by keys."""
    same = np.ones(max(0, ordered.num_rows - 1), bool)
    for name in keys:
        column = ordered[name].combine_chunks()
        same &= pc.equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False).astype(bool)
    return np.concatenate([[False], same]) if ordered.num_rows else same


def _ledger_numbers(batch: pa.RecordBatch) -> Numbers:
    encoded = batch[schema.SOURCE].dictionary_encode(null_encoding="encode")
    sources = _hashes(encoded.dictionary)[encoded.indices.to_numpy()]
    rows = batch[schema.SOURCE_ROW].fill_null(0).to_numpy().astype(np.uint64)
    with np.errstate(over="ignore"):
        return _mixed(sources + rows * np.uint64(0x9E3779B97F4A7C15))


def _uid_numbers(batch: pa.RecordBatch) -> Numbers:
    return _mixed(_hashes(batch[schema.UID]))


def _hashes(texts: pa.Array) -> Numbers:
    return np.fromiter(map(hash, texts.to_pylist()), np.int64, len(texts)).view(np.uint64)


def _mixed(numbers: Numbers) -> Numbers:
    """The last step of splitmix64: afterwards, numbers that differed in few bits differ in many."""
    with np.errstate(over="ignore"):
        numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return numbers ^ (numbers >> np.uint64(31))

"""Rows that stand in a table twice, found in memory that does not grow with the table.

Keys become 64-bit numbers first; only rows whose number is there twice are then looked at by their keys. Of a table
that is larger than `ROWS_PER_PASS`, each pass looks at a share of the numbers.
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
# Of rows that stand for one sample one stays: what a user has removed stays removed, and what is embedded is kept.
_KEPT_FIRST = [schema.REMOVED, schema.SUCCESS, schema.REJECTED]


def check_ledger_keys(checked: Table) -> list[Problem]:
    """(source, source_row) is there once."""
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
            "--repair keeps one row of each sample and deletes the others",
            partial(_delete, checked, addresses),
        )
    ]


def check_uids(checked: Table) -> list[Problem]:
    """No two samples have one uid. (Rows of one sample are another check's.)"""
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
            "several samples of the input have one uid: name a column of unique ones with --uid-col, and embed into "
            "another table",
        )
    ]


def _delete(checked: Table, addresses: Numbers) -> Repaired:
    return Repaired(f"repeated rows deleted: {table.delete_rows(checked.uri, addresses)}")


def _twice(checked: Table, keys: Sequence[str], numbers: Callable[[pa.RecordBatch], Numbers]) -> Iterator[pa.Table]:
    """The rows whose keys are there twice: ledger columns, uid, status and address. At least an empty table."""
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
        # a repeat, or what is repeated by the next
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
    """Which numbers are among those found, which are sorted: `np.isin` would sort these for each batch again."""
    places = np.minimum(np.searchsorted(found, numbers), len(found) - 1)
    among: npt.NDArray[np.bool_] = found[places] == numbers
    return among


def _repeats(ordered: pa.Table, keys: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Of rows sorted by keys, those whose keys are the same as in the row before."""
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
    """splitmix64's last step: numbers that differ in few bits do in many."""
    with np.errstate(over="ignore"):
        numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return numbers ^ (numbers >> np.uint64(31))

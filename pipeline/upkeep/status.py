"""The status of a table: its row counts, and the active runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa

from pipeline import schema, table
from pipeline.processes import Life
from pipeline.progress import View
from pipeline.table import Commit, Holder, IndexRecord, TableUri
from pipeline.upkeep.rejects import examples

RECORDS_LOOKED_AT = 20
"""of runs: a run that is starting is among those that began last"""


@dataclass(frozen=True)
class RunAtWork:
    """A run that is active, or was active when it died."""

    holder: Holder
    life: Life
    heartbeat_age: float
    """seconds since its last heartbeat, by its clock and ours"""
    in_flight_age: float | None
    """how long its oldest chunk has been in flight, in seconds"""

    @property
    def progress(self) -> View | None:
        """How far it was at its last heartbeat; None for a command that does not tell."""
        return None if self.holder.progress is None else View.of_record(self.holder.progress)


@dataclass(frozen=True)
class ColumnIndex:
    """An index of a column; or the finding that a column of vectors needs none."""

    column: str
    kind: str | None
    rows_without: int
    """rows that it does not cover yet: each search reads all of them"""
    record: IndexRecord | None
    """what was measured; None for an index that `siglane index` has not measured, and for other columns"""


@dataclass(frozen=True)
class Status:
    """The status of one version of a table."""

    version: int | None
    """None before the first commit has made the table"""
    fragments: int
    rows: Counter[tuple[str | None, ...]]
    """by (status, stage, reason)"""
    reject_examples: Mapping[str, str]
    """the message of one rejected row for each reason, as commands print it"""
    last_commit: Commit | None
    runs: tuple[RunAtWork, ...]
    indexes: tuple[ColumnIndex, ...]


@dataclass(frozen=True)
class Glance:
    """The part of a table's status that is read without scanning its rows."""

    rows: int
    runs: tuple[RunAtWork, ...]


def glance(uri: TableUri) -> Glance:
    """As `status`, but in a time that does not grow with the table.

    Raises:
        TableError: as `status`.
    """
    opened = table.open_if_exists(uri)
    if opened is None:
        return Glance(0, _before_the_table(uri))
    return Glance(opened.count(), _runs(opened))


def status(uri: TableUri) -> Status:
    """Reads the status of a table, without waiting for heartbeats.

    Raises:
        TableError: there is no such table, nor a run that will make it; or siglane did not create it.
    """
    opened = table.open_if_exists(uri)
    if opened is None:
        return Status(None, 0, Counter(), {}, None, _before_the_table(uri), ())
    rows = count_rows(opened, (schema.STATUS, schema.STAGE, schema.REASON))
    found = examples(opened, ((stage, reason) for status, stage, reason in rows if status == schema.REJECTED))
    return Status(
        version=opened.version,
        fragments=opened.fragments,
        rows=rows,
        reject_examples={str(reason): message for (_, reason), message in found.items()},
        last_commit=table.last_commit(opened),
        runs=_runs(opened),
        indexes=tuple(_indexes(opened)),
    )


def _indexes(opened: table.Table) -> Iterator[ColumnIndex]:
    records = table.read_index_records(opened)
    for column in (schema.IMAGE_VECTOR, schema.TEXT_VECTOR):
        index, record = table.vector_index(opened, column), records.get(column)
        if index is not None:
            measured = record if record is not None and record.kind == index.kind else None
            yield ColumnIndex(column, index.kind, table.rows_without(opened, index), measured)
        elif record is not None and record.kind is None:
            yield ColumnIndex(column, None, 0, record)
    for other in table.value_indexes(opened):
        yield ColumnIndex(other.column, other.kind, other.rows_without, None)


def count_rows(opened: table.Table, keys: Sequence[str]) -> Counter[tuple[str | None, ...]]:
    """Counts of all rows, embedded or not, by their values in these string columns."""
    counts: Counter[tuple[str | None, ...]] = Counter()
    for batch in opened.scan(keys, where=None, rows_per_batch=table.ROWS_PER_BATCH):
        grouped = pa.Table.from_batches([batch]).group_by(keys).aggregate([([], "count_all")])
        for row in grouped.to_pylist():
            counts[tuple(row[key] for key in keys)] += row["count_all"]
    return counts


def _runs(opened: table.Table) -> tuple[RunAtWork, ...]:
    """Those with an entry in the table, dead ones too; and those alive that have none yet, as they are starting."""
    now = datetime.now(UTC)
    entered = [_run(holder, now) for holder in table.read_holders(opened).values()]
    there = {_process(run.holder) for run in entered}
    starting = [
        run for run in _recorded(opened.uri, now) if run.life is Life.ALIVE and _process(run.holder) not in there
    ]
    return (*entered, *starting)


def _before_the_table(uri: TableUri) -> tuple[RunAtWork, ...]:
    """The runs that have not ended, dead ones too.

    Raises:
        TableError: there is none.
    """
    runs = tuple(_recorded(uri, datetime.now(UTC)))
    if not runs:
        table.open_table(uri)  # raises
    return runs


def _recorded(uri: TableUri, now: datetime) -> Iterator[RunAtWork]:
    for record in table.read_runs(uri, RECORDS_LOOKED_AT):
        if record.ended is None:
            yield RunAtWork(record.as_holder(), record.life, _seconds(record.seen, now), None)


def _process(holder: Holder) -> tuple[str, int, str]:
    return holder.place, holder.pid, holder.process_start


def _run(holder: Holder, now: datetime) -> RunAtWork:
    age = _seconds(holder.heartbeat, now)
    life = holder.life
    if life is Life.UNKNOWN and age <= table.PATIENCE_SECONDS:
        life = Life.ALIVE
    return RunAtWork(holder, life, age, _seconds(holder.in_flight["since"], now) if holder.in_flight else None)


def _seconds(since: str, now: datetime) -> float:
    return (now - datetime.fromisoformat(since)).total_seconds()

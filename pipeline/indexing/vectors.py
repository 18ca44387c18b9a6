"""Builds the index on a column of vectors, keeps it up to date, and measures what it finds."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

from pipeline import table
from pipeline.indexing.measuring import Sample, choose, seconds_of_exact
from pipeline.table import IndexRecord, Kind, Table, TableUri, VectorIndex

log = logging.getLogger(__name__)

FAST_ENOUGH_SECONDS = 0.1
"""A table whose exact search takes no longer needs no index."""
ROWS_PER_PARTITION = 4_096
GROWTH = 2.0
"""With so many times the rows that its partitions were made from, an index is built anew."""

Done = Literal["built", "updated", "kept", "dropped", "none"]


@dataclass(frozen=True)
class OnVectors:
    """What was done for a column of vectors."""

    done: Done
    record: IndexRecord


def bring_up_to_date(
    uri: TableUri, column: str, sample: Sample, recall: float, wanted: Kind | Literal["none"] | None
) -> OnVectors:
    """Builds the index, adds new rows to it, or finds that none is needed; then measures its recall.

    Args:
        wanted: the kind of the index; "none" for no index; None for the kind that fits the table.
    """
    opened = table.open_table(uri)
    index = table.vector_index(opened, column)
    before = table.read_index_records(opened).get(column)
    if wanted == "none":
        table.drop_vector_index(uri, column)
        return _without(uri, column, "asked for with --kind none", recall, "dropped" if index else "none")
    if wanted is not None and (impossible := table.why_no_index(opened, column, wanted)) is not None:
        table.drop_vector_index(uri, column)
        return _without(uri, column, impossible, recall, "dropped" if index else "none")
    why = before.why if before else "made by another program"
    if wanted is not None:
        why = f"asked for with --kind {wanted}"
    elif index is None:
        seconds = seconds_of_exact(opened, column, next(iter(sample.queries.values())))
        why = f"exact search takes {seconds * 1000:.0f} ms"
        if seconds <= FAST_ENOUGH_SECONDS:
            return _without(uri, column, why, recall, "none")
    kind = wanted or _kind_of_next(opened, column, index)
    if index is None or wanted not in (None, index.kind):
        return _build(uri, column, kind, why, sample, recall)
    if before is not None and opened.count() >= GROWTH * before.trained_rows:
        return _build(uri, column, kind, why, sample, recall)
    trained = before.trained_rows if before is not None and before.kind == index.kind else opened.count()
    if table.rows_without(opened, index):
        table.update_index(uri, index.name)
        record = _measured(uri, column, why, trained, sample, recall)
        if before is not None and before.reached and not record.reached:
            log.info("table %s: with the new rows, the index on %s finds too little; it is built anew", uri, column)
            return _build(uri, column, kind, why, sample, recall)
        return _stored(uri, "updated", record)
    if before is not None and before.kind == index.kind and before.wanted_recall == recall:
        return OnVectors("kept", before)
    return _stored(uri, "kept", _measured(uri, column, why, trained, sample, recall))


def _kind_of_next(opened: Table, column: str, index: VectorIndex | None) -> Kind:
    """That of the index before, if there is one of these kinds."""
    kept = [kind for kind in table.KINDS if index is not None and kind == index.kind]
    return kept[0] if kept else _fitting(opened, column)


def _fitting(opened: Table, column: str) -> Kind:
    """IVF_RQ, which found most per second of all kinds (docs/search.md). It takes only widths that 8 divides."""
    width = opened.schema.field(column).type.list_size
    return "ivf_rq" if width % 8 == 0 else "ivf_flat"


def _build(uri: TableUri, column: str, kind: Kind, why: str, sample: Sample, recall: float) -> OnVectors:
    log.info("table %s: building an index (%s) on %s", uri, kind, column)
    rows = table.build_vector_index(uri, column, kind, ROWS_PER_PARTITION)
    return _stored(uri, "built", _measured(uri, column, why, rows, sample, recall))


def _measured(uri: TableUri, column: str, why: str, trained_rows: int, sample: Sample, recall: float) -> IndexRecord:
    opened = table.open_table(uri)
    index = table.vector_index(opened, column)
    assert index is not None, "it was there a moment ago"
    log.info("table %s: measuring what the index on %s finds", uri, column)
    asked = choose(opened, column, index, sample, recall)
    covered = opened.count() - table.rows_without(opened, index)
    return IndexRecord(column, index.kind, why, opened.version, covered, trained_rows, recall, asked)


def _without(uri: TableUri, column: str, why: str, recall: float, done: Done) -> OnVectors:
    opened = table.open_table(uri)
    return _stored(uri, done, IndexRecord(column, None, why, opened.version, opened.count(), 0, recall))


def _stored(uri: TableUri, done: Done, record: IndexRecord) -> OnVectors:
    table.write_index_record(uri, record)
    return OnVectors(done, record)

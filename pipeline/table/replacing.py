"""Decides which of a run's rows to commit, and which existing rows they replace.

A row of the run and a row of the table are the same if source, row number and version are equal. Normally the table's
row is kept and the run's row is dropped. Options make a run replace rows: all rows of sources that have changed, or
rejected rows that were retried.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema
from pipeline.fileformats.row_address import ROW_ADDRESS
from pipeline.table.ledger import rows_of_sources
from pipeline.table.store import Table

log = logging.getLogger(__name__)

PLACE = [schema.SOURCE, schema.SOURCE_ROW]
COMPARED = [*PLACE, schema.SOURCE_VERSION, schema.STATUS, schema.UID, schema.IMAGE_SHA256]
ITEM, POSITION = "item", "position"


@dataclass(frozen=True)
class Replacing:
    """Which rows of the table the rows of a run replace."""

    sources: Mapping[str, str] = field(default_factory=dict)
    """sources that have changed: path -> version that the run reads; their rows of other versions are deleted"""
    rejects: bool = False
    """whether a row replaces the rejected row of the same source and number"""

    def __bool__(self) -> bool:
        return bool(self.sources) or self.rejects


@dataclass(frozen=True)
class Fit:
    """The rows to commit, and the rows to delete."""

    kept: pa.Table
    """ITEM and POSITION of the run's rows to commit"""
    forgotten: pa.Table
    """ITEM and POSITION of those whose pair was removed from the table: they are committed as tombstones"""
    gone: pa.Array
    """uint64: addresses of the table's rows to delete"""


def fit(rows: pa.Table, versions: Mapping[str, str], table: Table, replacing: Replacing) -> Fit:
    """Compares a run's rows with the table.

    Args:
        rows: COMPARED, ITEM and POSITION of each row.
        versions: the version that the run reads, by source: sources of `rows`, and sources that have become empty.
    """
    known = rows_of_sources(table, list(versions), COMPARED, addresses=True)
    place = pc.index_in(known[schema.SOURCE], value_set=pa.array(list(versions), pa.string()))
    ours = pa.array(list(versions.values()), pa.string()).take(place.combine_chunks())
    is_other = pc.not_equal(known[schema.SOURCE_VERSION], ours)
    is_replaced = pc.is_in(known[schema.SOURCE], value_set=pa.array(list(replacing.sources), pa.string()))
    foreign = pc.unique(known.filter(pc.and_not(is_other, is_replaced))[schema.SOURCE])
    if len(foreign):
        log.warning(
            "table %s: another run committed other versions of %d sources, e.g. %s; this run drops its rows of them",
            table.uri,
            len(foreign),
            foreign[0],
        )
        rows = rows.filter(pc.invert(pc.is_in(rows[schema.SOURCE], value_set=foreign)))
    same, displaced = known.filter(pc.invert(is_other)), known.filter(pc.and_(is_other, is_replaced))
    gone = [displaced[ROW_ADDRESS]]
    if replacing.rejects:
        rejected = same.filter(pc.equal(same[schema.STATUS], schema.REJECTED))
        retried = rejected.join(rows.select(PLACE), PLACE, join_type="left semi")
        gone.append(retried[ROW_ADDRESS])
        same = same.join(retried.select(PLACE), PLACE, join_type="left anti")
    kept = rows.join(same.select(PLACE), PLACE, join_type="left anti")
    addresses = pa.chunked_array([chunk for column in gone for chunk in column.chunks], pa.uint64())
    return Fit(kept.select([ITEM, POSITION]), _forgotten(kept, displaced), addresses.combine_chunks())


def _forgotten(rows: pa.Table, displaced: pa.Table) -> pa.Table:
    """Rows whose pair, found by uid or by image, was removed from the source's earlier version."""
    removed = displaced.filter(pc.equal(displaced[schema.STATUS], schema.REMOVED))
    rows = rows.filter(pc.not_equal(rows[schema.STATUS], schema.REMOVED))
    found = []
    for name in (schema.UID, schema.IMAGE_SHA256):
        keys = [schema.SOURCE, name]
        pairs = removed.select(keys).filter(pc.is_valid(removed[name]))
        found.append(rows.join(pairs, keys, join_type="left semi").select([ITEM, POSITION]))
    return pa.concat_tables(found)

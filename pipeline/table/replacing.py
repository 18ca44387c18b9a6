"""What of a run's rows goes into a table that holds rows of the same sources, and which rows they replace.

A row of the table is the same as one of the run's if source, number and version are equal, and is kept: the run's is
dropped. But a run may be told to replace: all rows of sources that have changed, or rejected rows that it tried again.
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
    """Which rows of the table those of a run take the place of."""

    sources: Mapping[str, str] = field(default_factory=dict)
    """sources that have changed, by path, with the version that the run reads: their rows of other versions go"""
    rejects: bool = False
    """whether a row replaces the rejected one of its place"""

    def __bool__(self) -> bool:
        return bool(self.sources) or self.rejects


@dataclass(frozen=True)
class Fit:
    """What of the run's rows lands."""

    kept: pa.Table
    """ITEM and POSITION of the rows that land"""
    forgotten: pa.Table
    """ITEM and POSITION of those among them whose pair was removed from the table: they land as tombstones"""
    gone: pa.Array
    """uint64: addresses of the table's rows that go"""


def fit(rows: pa.Table, versions: Mapping[str, str], table: Table, replacing: Replacing) -> Fit:
    """Compares a run's rows with the table.

    Args:
        rows: COMPARED, ITEM and POSITION of each.
        versions: the version that the run reads, of each source that has rows here, or is to have none.
    """
    known = rows_of_sources(table, list(versions), COMPARED, addresses=True)
    place = pc.index_in(known[schema.SOURCE], value_set=pa.array(list(versions), pa.string()))
    ours = pa.array(list(versions.values()), pa.string()).take(place.combine_chunks())
    is_other = pc.not_equal(known[schema.SOURCE_VERSION], ours)
    is_replaced = pc.is_in(known[schema.SOURCE], value_set=pa.array(list(replacing.sources), pa.string()))
    foreign = pc.unique(known.filter(pc.and_not(is_other, is_replaced))[schema.SOURCE])
    if len(foreign):
        log.warning(
            "table %s: %s … (%d sources): another run has them in another version; this run's rows of them are dropped",
            table.uri,
            foreign[0],
            len(foreign),
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
    """Rows whose pair, by its uid or its image, was removed from the version before."""
    removed = displaced.filter(pc.equal(displaced[schema.STATUS], schema.REMOVED))
    rows = rows.filter(pc.not_equal(rows[schema.STATUS], schema.REMOVED))
    found = []
    for name in (schema.UID, schema.IMAGE_SHA256):
        keys = [schema.SOURCE, name]
        pairs = removed.select(keys).filter(pc.is_valid(removed[name]))
        found.append(rows.join(pairs, keys, join_type="left semi").select([ITEM, POSITION]))
    return pa.concat_tables(found)

"""Indexes on columns of vectors: which one a search can use, what was measured of it, and how one is built.

What was measured stands in the table's configuration, so that each version of the table has its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, get_args

from pipeline import schema
from pipeline.table.object_store import store_failures
from pipeline.table.store import Table, open_table
from pipeline.table.transactions import commit_by_lance, until_landed
from pipeline.table.uri import TableUri

Kind = Literal["ivf_rq", "ivf_pq", "ivf_hnsw_sq", "ivf_flat"]
KINDS: tuple[Kind, ...] = get_args(Kind)

METRIC = "dot"
"""of the indexes that are built here. All metrics rank vectors of unit length alike"""

MOST_PARTS = 1_000
"""of an index, which has one more after each update by other programs"""

FEWEST_FOR_PQ = 256
"""vectors that Lance needs for a product quantizer. With fewer it writes an index without rows."""

_MEASURED = "siglane:index:"
"""begins the keys of the table's configuration that hold an `IndexRecord`; the column's name follows"""


@dataclass(frozen=True)
class VectorIndex:
    """An index on a column of vectors, as a snapshot has it."""

    name: str
    kind: str
    """as in `KINDS`, or another kind of Lance"""
    metric: str
    """l2, cosine or dot: Lance uses the index only for searches with this metric"""
    fragments: frozenset[int]
    """numbers of the fragments that it covers: each search reads the others whole"""
    size: int
    """bytes"""


@dataclass(frozen=True)
class Asked:
    """How an index has to be asked so that enough of the true neighbours are found, as measured."""

    probes: int
    """partitions that are looked through, at least"""
    refine: int
    """so many candidates for each hit are compared exactly"""
    recall: float
    """share of the true neighbours that were found"""
    reached: bool
    """whether that is enough"""


@dataclass(frozen=True)
class IndexRecord:
    """What `siglane index` found out about a column of vectors."""

    column: str
    kind: str | None
    """None: no index, because exact search is fast enough"""
    why: str
    version: int
    """of the table, when this was measured"""
    rows: int
    """that the index covered then"""
    trained_rows: int
    """that its partitions were made from"""
    wanted_recall: float
    asked: Mapping[str, Mapping[int, Asked]] = field(default_factory=dict)
    """by the kind of the query ("image" or "text"), then by the number of hits"""

    @classmethod
    def from_json(cls, text: str) -> IndexRecord:
        values = json.loads(text)
        asked = {
            modality: {int(hits): Asked(**how) for hits, how in by_hits.items()}
            for modality, by_hits in values.pop("asked").items()
        }
        return cls(**values, asked=asked)

    @property
    def reached(self) -> bool:
        """Whether all kinds of queries find enough."""
        return all(how.reached for by_hits in self.asked.values() for how in by_hits.values())

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def vector_index(table: Table, column: str) -> VectorIndex | None:
    """The index that Lance uses for searches of a column; None if it has none."""
    with store_failures(table.uri):
        for found in table.lance.describe_indices():
            if list(found.field_names) == [column] and found.index_type.startswith("IVF"):
                details = found.details or {}
                metric = details.get("metric_type") or _metric_of_older(table, found.name)
                covered = frozenset(number for part in found.segments for number in part.fragment_ids)
                size = sum(part.size_bytes or 0 for part in found.segments)
                return VectorIndex(found.name, found.index_type.lower(), metric.lower(), covered, size)
    return None


def _metric_of_older(table: Table, name: str) -> str:
    """The metric of an index that an older Lance has built, which says less about itself."""
    return str(table.lance.stats.index_stats(name)["indices"][0]["metric_type"])


def rows_without(table: Table, index: VectorIndex) -> int:
    """Rows in the fragments that an index does not cover."""
    left = [fragment for fragment in table.lance.get_fragments() if fragment.fragment_id not in index.fragments]
    return sum(fragment.metadata.num_rows for fragment in left)


def partitions(table: Table, index: VectorIndex) -> int:
    """How many partitions a search of this index chooses from, in the part of it that has most."""
    with store_failures(table.uri):
        parts = table.lance.stats.index_stats(index.name)["indices"]
    return max([1, *(len(part.get("partitions", ())) for part in parts)])


def why_no_index(table: Table, column: str, kind: str) -> str | None:
    """Why Lance can build no index of this kind on the vectors that a column has now; None if it can."""
    width = table.schema.field(column).type.list_size
    if kind == "ivf_rq" and width % 8:
        return f"an ivf_rq index needs vectors whose dimension is a multiple of 8, and {column} has {width}"
    fewest = FEWEST_FOR_PQ if kind.endswith("_pq") else 1
    with store_failures(table.uri):
        wanted = table.lance.scanner(columns=[schema.UID], filter=f"{column} IS NOT NULL", limit=fewest)
        vectors = wanted.to_table().num_rows
    if vectors < fewest:
        return f"an {kind} index needs at least {fewest} vectors, and {column} has {vectors}"
    return None


def drop_impossible_indexes(uri: TableUri) -> None:
    """Drops the indexes on vectors that could not be built any more, because rows were removed. Lance can neither
    update nor rebuild such an index. So few vectors are searched exactly."""
    table = open_table(uri)
    records = read_index_records(table)
    for column in (schema.IMAGE_VECTOR, schema.TEXT_VECTOR):
        index = vector_index(table, column)
        why = None if index is None else why_no_index(table, column, index.kind)
        if why is not None:
            drop_vector_index(uri, column)
            if column in records:
                gone = IndexRecord(column, None, why, table.version, table.count(), 0, records[column].wanted_recall)
                write_index_record(uri, gone)


def build_vector_index(uri: TableUri, column: str, kind: Kind, rows_per_partition: int) -> int:
    """Builds an index over all rows that have a vector in this column, and returns the number of rows of the table. It
    takes the place of the one before.

    The build may take long, and commits only at its end. Rows that are added meanwhile are searched without it, until
    it is updated. If rows that it read were replaced or moved to other files, it is built again.

    Raises:
        TableError: `MAX_ATTEMPTS` builds in a row were overtaken.
    """

    def change(table: Table) -> int:
        before = vector_index(table, column)
        name = before.name if before else f"{column}_idx"
        width = table.schema.field(column).type.list_size
        of_kind: dict[str, int] = {"num_sub_vectors": _sub_vectors(width)} if kind == "ivf_pq" else {}
        segment = table.lance.create_index_uncommitted(
            column,
            kind.upper(),
            name=name,
            metric=METRIC,
            replace=True,
            fragment_ids=[fragment.fragment_id for fragment in table.lance.get_fragments()],
            target_partition_size=rows_per_partition,
            **of_kind,
        )
        commit_by_lance(table, lambda: table.lance.commit_existing_index_segments(name, column, [segment]))
        return table.count()

    return until_landed(uri, change)


def _sub_vectors(width: int) -> int:
    """Into how many parts a product quantizer cuts a vector: of 8 numbers each, where that is possible."""
    return next(width // size for size in (8, 4, 2, 1) if width % size == 0)


def drop_vector_index(uri: TableUri, column: str) -> None:
    """Drops the indexes on this column, if there are any. Searches then read all of its rows."""

    def change(table: Table) -> bool:
        index = vector_index(table, column)
        if index is not None:
            commit_by_lance(table, lambda: table.lance.drop_index(index.name))
        return index is not None

    while until_landed(uri, change):
        pass


def update_index(uri: TableUri, name: str) -> None:
    """Adds the rows that an index does not cover to it, without making its partitions anew.

    Its parts become one: each search asks all parts, and fragments in different parts are not merged.
    """

    def change(table: Table) -> None:
        merged = {"index_names": [name], "num_indices_to_merge": MOST_PARTS}
        commit_by_lance(table, lambda: table.lance.optimize.optimize_indices(**merged))

    until_landed(uri, change)


def read_index_records(table: Table) -> dict[str, IndexRecord]:
    """What was measured, by column of vectors."""
    config = table.lance.config()
    records = (IndexRecord.from_json(value) for key, value in config.items() if key.startswith(_MEASURED) and value)
    return {record.column: record for record in records}


def write_index_record(uri: TableUri, record: IndexRecord) -> None:
    """Stores what was measured, instead of what was stored before."""

    def change(table: Table) -> None:
        entry = {_MEASURED + record.column: record.to_json()}
        commit_by_lance(table, lambda: table.lance.update_config(entry))

    until_landed(uri, change)


def newest(table: Table, afresh: bool = False) -> Table:
    """The newest snapshot, with the caches of this one; the same one if nothing was committed since.

    A snapshot of a fixed version stays. Costs one request at most, if nothing was committed.

    Args:
        afresh: open it anew, because files of this snapshot are missing: the table may have been removed, and made
            again with as many versions.
    """
    if table.uri.state is not None:
        return table
    if afresh:
        return open_table(table.uri)
    with store_failures(table.uri):
        latest = table.lance.latest_version
        if latest == table.version:
            return table
        if latest < table.version:  # the table was removed, and made again
            return open_table(table.uri)
        return Table(table.uri, table.lance.checkout_version(latest))

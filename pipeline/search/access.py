"""How a snapshot is searched: through an index, asked as its measured recall needs, or exactly."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline import schema, table
from pipeline.search.terms import MODALITIES, Modality
from pipeline.table import Asked, IndexRecord, Table, Through, VectorIndex

UNMEASURED = Asked(probes=64, refine=10, recall=0.0, reached=False)
"""of an index that `siglane index` has not measured, such as one made with LanceDB: slower than most need"""
FEWEST = 10
"""hits that recall is measured for"""
DEEPEST = 100
"""With more hits, an unmeasured index is left out."""

CONDITIONS_KEPT = 1_000
"""whose numbers of rows are remembered"""


@dataclass(frozen=True)
class Access:
    """A search through an index, and how many candidates for each hit are compared exactly."""

    through: Through
    refine: int

    def candidates(self, hits: int) -> int:
        """How many candidates are compared exactly. For few hits no less than what recall was measured with."""
        return max(hits, FEWEST) * self.refine


class Snapshot:
    """One version of a table, with what searches need to know of it. Several threads may use it."""

    def __init__(self, searched: Table) -> None:
        self.table = searched
        columns = (schema.IMAGE_VECTOR, schema.TEXT_VECTOR)
        self._indexes = {column: table.vector_index(searched, column) for column in columns}
        self._records = table.read_index_records(searched)
        self._rows = searched.count()
        self._rows_where: dict[str, int] = {}

    def access(self, column: str, modality: Modality | None, hits: int, where: str | None) -> Access | None:
        """How to find so many hits; None for an exact search.

        That is the case where there is no index; and where the recall of the index was not measured: for many hits, or
        where `where` leaves few rows, so that the best of them may be far from the query.

        Args:
            modality: what the query is; None for a mixture.
        """
        index = self._indexes[column]
        if index is None:
            return None
        depth = hits if where is None else hits * self._rows / max(1, self._count(where))
        asked = [self._asked(index, column, kind, depth) for kind in MODALITIES if modality in (None, kind)]
        if None in asked:
            return None
        known = [how for how in asked if how is not None]
        probes, refine = max(how.probes for how in known), max(how.refine for how in known)
        return Access(Through(index, probes), refine)

    def _asked(self, index: VectorIndex, column: str, modality: Modality, depth: float) -> Asked | None:
        record: IndexRecord | None = self._records.get(column)
        if record is None or record.kind != index.kind:
            return UNMEASURED if depth <= DEEPEST else None
        by_hits = record.asked.get(modality) or record.asked.get(_other(modality)) or {}
        return next((how for hits, how in sorted(by_hits.items()) if depth <= hits), None)

    def _count(self, where: str) -> int:
        known = self._rows_where.get(where)
        if known is None:
            if len(self._rows_where) >= CONDITIONS_KEPT:
                self._rows_where = {}
            known = self._rows_where[where] = self.table.count(f"{table.EMBEDDED} AND ({where})")
        return known


def _other(modality: Modality) -> Modality:
    return "text" if modality == "image" else "image"

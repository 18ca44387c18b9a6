"""Searches by vectors and by words. Lance does them; here they become what the table's columns mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from lance.query import FullTextOperator, MatchQuery

from pipeline import schema
from pipeline.table.store import EMBEDDED, Table
from pipeline.table.vector_index import METRIC, VectorIndex

Floats = npt.NDArray[np.float32]

DISTANCE = "_distance"
"""Lance's column of search results"""
QUERY = "query_index"
"""Lance's column of the results of several queries: the number of the query"""

ROW_ID = "_rowid"
"""Lance's column of what names a row in one snapshot"""
SCORE = "_score"
"""Lance's column of how well words match"""


@dataclass(frozen=True)
class Through:
    """A search through an index: approximate, but for the rows that the index does not cover."""

    index: VectorIndex
    probes: int
    """partitions that are looked through, at least; more while there are fewer rows than asked for"""
    no_more: bool = False
    """look through so many in any case"""


def nearest(
    table: Table,
    vector_column: str,
    query_QD: Floats,
    k: int,
    columns: Sequence[str],
    where: str | None = None,
    words: str | None = None,
    through: Through | None = None,
) -> Iterator[pa.RecordBatch]:
    """The k rows with the largest dot products with each query, from those that meet `where` and have all `words`.

    The column `DISTANCE` follows those asked for: smaller is nearer. Without an index, it is 1 less the dot product;
    an index has a metric of its own. Some thousand rows at a time, so that `k` may be any number. The rows of one query
    come best first. With several queries, the column `QUERY` comes first, and all vectors are read once for all.

    Raises:
        TableError: `where` is not SQL over the table's columns.
    """
    few = len(query_QD) == 1
    search: dict[str, Any] = {"column": vector_column, "q": query_QD[0] if few else query_QD, "k": k}
    if through is None:
        search |= {"metric": METRIC, "use_index": False}
        condition: str | None = f"{EMBEDDED} AND ({where})" if where else EMBEDDED
    else:
        # Without `search_effort`, Lance looks through more partitions at once, as it sees fit.
        search |= {"metric": through.index.metric, "minimum_nprobes": through.probes, "search_effort": 0.0}
        if through.no_more:
            search["maximum_nprobes"] = through.probes
        condition = where  # only embedded rows have vectors, so an index holds no others
    found: Any = condition
    if words is not None:
        asked = MatchQuery(words, schema.CAPTION, operator=FullTextOperator.AND)
        found = {"expr_filter": condition, "search_filter": asked}
    shown = [*(() if few else (QUERY,)), *columns, DISTANCE]
    try:
        yield from table.lance.scanner(columns=shown, filter=found, nearest=search, prefilter=True).to_batches()
    except (ValueError, OSError) as error:
        raise table.read_failure(f"cannot search where {where}", error) from error


def best_by_words(table: Table, words: str, k: int, columns: Sequence[str], where: str | None = None) -> pa.Table:
    """The k rows whose captions match any of the words best (BM25), best first, from those that meet `where`.

    Raises:
        TableError: `where` is not SQL over the table's columns.
    """
    condition = f"{EMBEDDED} AND ({where})" if where else EMBEDDED
    asked = MatchQuery(words, schema.CAPTION, operator=FullTextOperator.OR)
    try:
        return table.lance.scanner(
            columns=[*columns, SCORE], filter=condition, full_text_query=asked, limit=k, prefilter=True
        ).to_table()
    except (ValueError, OSError) as error:
        raise table.read_failure(f"cannot search for words where {where}", error) from error

"""Scoring: fills cosine, logit and probability from the stored vectors, without a model."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline import schema
from pipeline.stages import score
from pipeline.table import TableUri, fill_columns, open_table


def score_table(uri: TableUri) -> Iterator[int]:
    """Scores the pairs that have both vectors and no score yet; yields the number of rows of each commit.

    Raises:
        TableError: there is no such table.
    """
    call = score.Score(open_table(uri).identity)
    return fill_columns(uri, "score", score.COLUMNS, f"{score.SCORABLE} AND {schema.COSINE} IS NULL", call)

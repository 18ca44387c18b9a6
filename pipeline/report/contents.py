"""Everything that a report shows of a table, read from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline import schema
from pipeline.report import chosen_cut, distributions, duplicates, pairs, runs, thumbnails
from pipeline.report.chosen_cut import Chosen, Evidence
from pipeline.report.distributions import Distribution
from pipeline.report.duplicates import Duplicates
from pipeline.report.pairs import Examples, Pair
from pipeline.report.runs import PastRun
from pipeline.report.thumbnails import Thumbnail
from pipeline.sources import SourceOptions
from pipeline.table import Table
from pipeline.upkeep import status


@dataclass(frozen=True)
class Contents:
    table: Table
    rows: Counter[tuple[str | None, ...]]
    """by (status, stage, reason)"""
    chosen: Chosen
    evidence: Evidence
    distributions: Sequence[Distribution]
    not_shown: Sequence[str]
    """columns of numbers beyond `distributions.MOST`"""
    examples: Examples
    duplicates: Duplicates | None
    """None where they were not looked for"""
    pairs: Mapping[int, Pair]
    """those of the examples and of the duplicates, by the address of the row"""
    thumbnails: Mapping[int, Thumbnail] | None
    """None where no input was named"""
    runs: Sequence[PastRun]
    cost_per_hour: float | None

    def count(self, status: str) -> int:
        return sum(rows for (kind, *_), rows in self.rows.items() if kind == status)


def gather(table: Table, manifest: Path | None, source: SourceOptions | None, cost_per_hour: float | None) -> Contents:
    """`manifest`: of an earlier filter, whose cut to show. `source`: the input to read images from.

    Raises:
        UsageError: no manifest of a filter, or one of another model's scores.
        TableError: the table lacks what the earlier filter was by.
        InputError: the input cannot be read, or is not the table's.
    """
    selection = chosen_cut.selection_of(manifest)
    found = chosen_cut.evidence(table, selection)
    chosen = chosen_cut.choose(table, selection, found, manifest)
    shown = pairs.examples(chosen)
    marked = duplicates.find(table)
    of_duplicates = [address for group in marked.largest for address in group.addresses] if marked else []
    addresses = np.concatenate([shown.above, shown.below, shown.best, shown.worst]).tolist() + of_duplicates
    read = pairs.read(table, list(dict.fromkeys(addresses)), chosen.columns)
    names = distributions.columns(table)
    return Contents(
        table=table,
        rows=status.count_rows(table, (schema.STATUS, schema.STAGE, schema.REASON)),
        chosen=chosen,
        evidence=found,
        distributions=distributions.measure(table, names[: distributions.MOST]),
        not_shown=names[distributions.MOST :],
        examples=shown,
        duplicates=marked,
        pairs=read,
        thumbnails=None if source is None else thumbnails.read(source, read.values()),
        runs=runs.runs(table),
        cost_per_hour=cost_per_hour,
    )

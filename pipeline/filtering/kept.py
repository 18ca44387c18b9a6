"""Reads the rows that a rule keeps, in the table's order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.filtering import ties
from pipeline.filtering.judge import Judge, Mask, Places, Values
from pipeline.filtering.rule import combined, cut_rules
from pipeline.filtering.scores import ROWS_PER_BATCH
from pipeline.filtering.selection import GroupCut, Selection, require_scores
from pipeline.progress import Details, current
from pipeline.table import ROW_ADDRESS, Table


@dataclass(frozen=True)
class Verdicts:
    """Verdicts on N rows that meet the selection's condition. Every array is [N]."""

    groups: Places
    """index of each row's group"""
    values: Sequence[Values]
    """one array per cut of the rule"""
    passed: Sequence[Mask]
    """one array per cut of the rule"""
    kept: Mask


class Counts:
    """Counts of the judged rows, by each of G groups and each of C cuts."""

    def __init__(self, cuts: int, groups: int) -> None:
        self.rows = np.zeros(groups, np.int64)
        """[G], rows that meet the selection's condition"""
        self.kept = np.zeros(groups, np.int64)
        self.scored = np.zeros((cuts, groups), np.int64)
        """[C, G], rows that have a value for the cut"""
        self.passed = np.zeros((cuts, groups), np.int64)

    def add(self, verdicts: Verdicts) -> None:
        def count(mask: Mask) -> npt.NDArray[np.int64]:
            if len(self.rows) == 1:  # the fast way
                return np.array([np.count_nonzero(mask)])
            return np.bincount(verdicts.groups[mask], minlength=len(self.rows))

        known = verdicts.groups >= 0
        self.rows += count(known)
        self.kept += count(verdicts.kept)
        for place, (values, passed) in enumerate(zip(verdicts.values, verdicts.passed, strict=True)):
            self.scored[place] += count(known & np.isfinite(values))
            self.passed[place] += count(known & passed)


class KeptRows:
    """An iterable, usable once, of batches of the requested columns. `counts` holds counts of the judged rows.

    Raises:
        TableError: at the end, if no row has a value for one of the cuts.
    """

    def __init__(self, table: Table, selection: Selection, cuts: Sequence[GroupCut], columns: Sequence[str]) -> None:
        self._table = table
        self._selection = selection
        self._columns = list(columns)
        self._group_values = (
            None
            if selection.per is None
            else pa.array([cut.value for cut in cuts], table.schema.field(selection.per).type)
        )
        self._rule = selection.whole_rule
        self._judges = [
            Judge(rule, [group.cuts[place] for group in cuts]) for place, (_, rule) in enumerate(cut_rules(self._rule))
        ]
        self._winners: dict[Judge, ties.Winners] = {}
        self.counts = Counts(len(self._judges), len(cuts))

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        read = dict.fromkeys([*self._columns, *self.needed_columns])
        addresses = read.pop(ROW_ADDRESS, "") is None
        condition = self._selection.condition_on(column for judge in self._judges for column in judge.rule.columns)
        current.begin("filtering", details=partial(Details, *self._rows_to_read(condition)))
        for batch in self._table.scan(list(read), condition, addresses, ROWS_PER_BATCH, whole=True):
            current.add(len(batch))
            verdicts = self.judge(batch)
            self.counts.add(verdicts)
            batch = batch.select(self._columns)
            # copying strings takes as long as reading them
            yield batch if verdicts.kept.all() else batch.filter(pa.array(verdicts.kept))
        if condition is None and (self.counts.scored < self.counts.rows).any():  # rejected rows may be counted
            self.counts.rows[:] = self._table.count(self._selection.condition)
        for (_, rule), scored in zip(cut_rules(self._rule), self.counts.scored, strict=True):
            require_scores(self._table, rule, int(scored.sum()), self._selection.condition)

    def _rows_to_read(self, condition: str | None) -> tuple[int | None, bool]:
        """How many rows a scan gives, as far as that is known without a scan; and whether exactly."""
        return (self._table.count() if self._selection.where is None else None), condition is None

    @property
    def needed_columns(self) -> list[str]:
        """The columns that `judge` reads."""
        of_groups = [] if self._selection.per is None else [self._selection.per]
        of_cuts = [column for judge in self._judges for column in judge.rule.columns]
        of_ties = ties.COLUMNS if any(judge.has_ties for judge in self._judges) else ()
        return list(dict.fromkeys([*of_cuts, *of_groups, *of_ties]))

    def judge(self, batch: pa.RecordBatch) -> Verdicts:
        """Judges rows that meet the selection's condition. They must have the columns `needed_columns`."""
        groups = self._groups(batch)
        values = [judge.values(batch, groups) for judge in self._judges]
        passed = [
            self._passed(judge, batch, groups, value_N) for judge, value_N in zip(self._judges, values, strict=True)
        ]
        kept = combined(self._rule, passed, np.logical_and.reduce, np.logical_or.reduce)
        return Verdicts(groups, values, passed, kept & (groups >= 0))

    def _groups(self, batch: pa.RecordBatch) -> Places:
        if self._group_values is None:
            return np.zeros(len(batch), np.intp)
        groups = pc.index_in(batch[self._selection.per], value_set=self._group_values)
        # A value that was added to the table after the cuts were made has no group.
        places: Places = groups.fill_null(-1).to_numpy().astype(np.intp)
        return places

    def _passed(self, judge: Judge, batch: pa.RecordBatch, groups: Places, values: Values) -> Mask:
        passed = judge.reaches(values, groups)
        tied = judge.ties(values, groups)
        if len(tied):
            if judge not in self._winners:
                self._winners[judge] = self._find_winners(judge)
            passed[tied] = self._winners[judge].keeps(batch.take(pa.array(tied)), groups[tied])
        return passed

    def _find_winners(self, judge: Judge) -> ties.Winners:
        of_groups = [] if self._selection.per is None else [self._selection.per]
        columns = list(dict.fromkeys([*ties.COLUMNS, *judge.rule.columns, *of_groups]))
        near = judge.near_a_tie(self._table.schema)
        condition = self._selection.condition if near is None else f"{self._selection.condition} AND {near}"

        def tied() -> Iterator[tuple[pa.RecordBatch, Places]]:
            for batch in self._table.scan(columns, condition, rows_per_batch=ROWS_PER_BATCH):
                groups = self._groups(batch)
                at = judge.ties(judge.values(batch, groups), groups)
                yield batch.take(pa.array(at)), groups[at]

        limits = {place: made.ties_kept for place, made in enumerate(judge.of_groups)}
        return ties.Winners(tied, {place: limit for place, limit in limits.items() if limit is not None})

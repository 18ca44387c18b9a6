"""Which pairs to keep: what the user asks for, and the cuts that it comes to, for each group of rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline import schema
from pipeline.errors import TableError
from pipeline.filtering import earlier
from pipeline.filtering.cuts import Context, Maker, cuts
from pipeline.filtering.made_cut import MadeCut
from pipeline.filtering.rule import CutRule, Rule, cut_rules
from pipeline.filtering.scores import Scale, read_groups, require_numbers
from pipeline.table import EMBEDDED, Table


@dataclass(frozen=True)
class Selection:
    """Which pairs to keep: those that meet `cut`, or those that meet `rule`."""

    cut: CutRule | None = None
    """the only cut, by a column, as a command's options say it"""
    rule: Rule | None = None
    """of one or several cuts, each of which the manifest tells by itself"""
    earlier: Path | None = None
    """with `rule`: manifest of a filter by that rule, whose cuts are used as they were found"""
    where: str | None = None
    """SQL over the table's columns; other rows are left out before anything is ranked"""
    per: str | None = None
    """column for each value of which there is a cut of its own"""
    seed: int = 0
    """of samples and shuffles that cuts are made from"""

    @property
    def by(self) -> str | None:
        """The column that is cut; None with `rule`."""
        return None if self.cut is None else self.cut.by

    @property
    def whole_rule(self) -> Rule:
        """`rule`, or the only cut."""
        whole = self.rule or self.cut
        assert whole is not None
        return whole

    @property
    def condition(self) -> str:
        return f"{EMBEDDED} AND ({self.where})" if self.where else EMBEDDED

    def condition_on(self, columns: Iterable[str]) -> str | None:
        """As `condition`, of rows that are to have values in these columns; None: every row that has meets it.

        Rejects have no scores. What need not be compared need not be read, which makes a third of a scan of scores.
        """
        scores_tell = self.where is None and self.per is None and set(columns) <= set(schema.SCORES)
        return None if scores_tell else self.condition


@dataclass(frozen=True)
class GroupCut:
    """The cuts for the rows of one group: those with this value in the column `per`, or all."""

    value: Any
    cuts: Sequence[MadeCut]
    """in the order of the rule's"""


def made_cuts(table: Table, selection: Selection) -> list[GroupCut]:
    """The cuts of each group, in the order of their values. Each cut of the rule is made for itself.

    Nothing is read for what is known beforehand, which with `per` is nothing: the groups are not.

    Raises:
        TableError: no pair is scored, a column is not there or of a kind that cannot be used, or `where` is no SQL.
        EstimateError: a mismatch fraction was asked for and cannot be estimated, of all or of one group.
        UsageError: the manifest named does not fit the table or the selection.
    """
    made, values = list[list[MadeCut]](), list[Any]([None])
    for place, (path, rule) in enumerate(cut_rules(selection.whole_rule)):
        require_numbers(table, rule.columns)
        cut, scales = _asked(table, selection, place, path, rule)
        # Groups have to be read, and so has a sum, unless its scales are those of an earlier filter.
        if isinstance(cut, MadeCut) and selection.per is None and (rule.by is not None or cut.scales is not None):
            made.append([cut])
            continue
        condition, needs_addresses = selection.condition_on(rule.columns), cuts()[rule.limit].NEEDS_ADDRESSES
        groups = read_groups(table, rule.score, condition, selection.per, scales, needs_addresses)
        require_scores(table, rule, sum(len(group.scores) for group in groups), selection.condition)
        of_groups = [cut] * len(groups) if isinstance(cut, MadeCut) else cut(groups)
        made.append([replace(of_group, scales=group.scales) for of_group, group in zip(of_groups, groups, strict=True)])
        values = [group.value for group in groups]  # the same by every cut: one state, one condition
    return [GroupCut(value, of_group) for value, of_group in zip(values, zip(*made, strict=True), strict=True)]


def _asked(
    table: Table, selection: Selection, place: int, path: str, rule: CutRule
) -> tuple[MadeCut | Maker, Mapping[Any, Mapping[str, Scale]] | None]:
    """One cut of the rule, as it is asked for or as it was found earlier, then with the scales of each group's sum."""
    if selection.earlier is None:
        context = Context(table, rule.by, selection.per, selection.seed, path)
        return cuts()[rule.limit].cut(rule.value, context), None
    found = earlier.cuts(selection.earlier, table, None, selection.per)[place]
    return earlier.as_found(found, selection.per), {value: made.scales or {} for value, made in found.items()}


def require_scores(table: Table, rule: CutRule, scored: int, condition: str) -> None:
    """
    Raises:
        TableError: none of the rows that meet the condition has what is cut.
    """
    if not scored:
        rows = table.count(condition)
        advice = f"; run `siglane score --table {table.uri}` first" if set(rule.columns) <= set(schema.SCORES) else ""
        raise TableError(f"table {table.uri}: none of the {rows} rows has a {' and a '.join(rule.columns)}{advice}")

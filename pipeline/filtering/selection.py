"""Which pairs to keep: the user's selection, and the resulting cuts for each group of rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline import schema
from pipeline.errors import TableError
from pipeline.filtering import earlier
from pipeline.filtering.certified.cut import Unsure
from pipeline.filtering.cuts import Context, Maker, cuts
from pipeline.filtering.made_cut import MadeCut
from pipeline.filtering.rule import CutRule, Rule, cut_rules
from pipeline.filtering.scores import Scale, read_groups, require_numbers
from pipeline.mismatch.estimate import Assumption
from pipeline.table import EMBEDDED, Table, lacks_captions
from pipeline.wording import counted


@dataclass(frozen=True)
class Selection:
    """Which pairs to keep: those that meet `cut`, or those that meet `rule`."""

    cut: CutRule | None = None
    """the single cut by a column, from the command's options"""
    rule: Rule | None = None
    """one or more cuts; the manifest lists each of them"""
    earlier: Path | None = None
    """with `rule`: manifest of a filter by the same rule; its thresholds are used"""
    where: str | None = None
    """SQL over the table's columns; other rows are excluded before ranking"""
    per: str | None = None
    """column to group by: each of its values gets its own cut"""
    seed: int = 0
    """seed of the samples and decoys that cuts are computed from"""
    wrong_captions: Assumption = "random"
    """how wrong captions come about, for an estimate of how many there are"""
    labels: Path | None = None
    """labels that certify the single cut, which is a `max_mismatch_fraction`"""
    unsure: Unsure = "wrong"
    """what the label `unsure` counts as"""

    @property
    def by(self) -> str | None:
        """The column of the single cut; None with `rule`."""
        return None if self.cut is None else self.cut.by

    @property
    def whole_rule(self) -> Rule:
        """`rule`, or the single cut."""
        rule = self.rule or self.cut
        assert rule is not None
        return rule

    @property
    def condition(self) -> str:
        return f"{EMBEDDED} AND ({self.where})" if self.where else EMBEDDED

    def condition_on(self, columns: Iterable[str]) -> str | None:
        """`condition` for rows with values in these columns; None if every such row meets it.

        Rejected rows have no scores, so scores alone identify embedded rows. Not reading the status saves a third of a
        scan of scores.
        """
        scores_tell = self.where is None and self.per is None and set(columns) <= set(schema.SCORES)
        return None if scores_tell else self.condition


@dataclass(frozen=True)
class GroupCut:
    """The cuts for one group of rows: the rows with this value in the column `per`, or all rows."""

    value: Any
    cuts: Sequence[MadeCut]
    """in the rule's order"""


def made_cuts(table: Table, selection: Selection) -> list[GroupCut]:
    """The cuts of each group, in the order of the groups' values. Each cut of the rule is computed by itself.

    A cut that is known beforehand reads nothing from the table, except with `per`, where the groups must be read.

    Raises:
        TableError: no pair is scored, a column is missing or has an unusable type, or `where` is not SQL.
        EstimateError: a mismatch fraction was requested and cannot be estimated, for all rows or for one group.
        UsageError: the named manifest does not fit the table or the selection.
    """
    made, values = list[list[MadeCut]](), list[Any]([None])
    for place, (path, rule) in enumerate(cut_rules(selection.whole_rule)):
        require_numbers(table, rule.columns)
        cut, scales = _asked(table, selection, place, path, rule)
        # Groups must be read. A sum must be read too, unless its scales come from an earlier filter.
        if isinstance(cut, MadeCut) and selection.per is None and (rule.by is not None or cut.scales is not None):
            made.append([cut])
            continue
        condition, needs_addresses = selection.condition_on(rule.columns), cuts()[rule.limit].NEEDS_ADDRESSES
        groups = read_groups(table, rule.score, condition, selection.per, scales, needs_addresses)
        require_scores(table, rule, sum(len(group.scores) for group in groups), selection.condition)
        of_groups = [cut] * len(groups) if isinstance(cut, MadeCut) else cut(groups)
        made.append([replace(of_group, scales=group.scales) for of_group, group in zip(of_groups, groups, strict=True)])
        values = [group.value for group in groups]  # equal for every cut: same snapshot, same condition
    return [GroupCut(value, of_group) for value, of_group in zip(values, zip(*made, strict=True), strict=True)]


def _asked(
    table: Table, selection: Selection, place: int, path: str, rule: CutRule
) -> tuple[MadeCut | Maker, Mapping[Any, Mapping[str, Scale]] | None]:
    """One cut of the rule: the requested one, or the one of an earlier filter with the scales of each group's sum."""
    if selection.earlier is None:
        context = Context(
            table,
            rule.by,
            selection.per,
            selection.seed,
            selection.wrong_captions,
            path,
            where=selection.where,
            labels=selection.labels,
            unsure=selection.unsure,
        )
        return cuts()[rule.limit].cut(rule.value, context), None
    found = earlier.cuts(selection.earlier, table, None, selection.per)[place]
    return earlier.as_found(found, selection.per), {value: made.scales or {} for value, made in found.items()}


def require_scores(table: Table, rule: CutRule, scored: int, condition: str) -> None:
    """Checks that the cut has any rows to work on.

    Raises:
        TableError: none of the rows that meet the condition has a value for the cut.
    """
    if not scored:
        rows = table.count(condition)
        if not rows:
            raise TableError(f"table {table.uri}: no row meets the condition {condition}")
        advice = ""
        if set(rule.columns) <= set(schema.SCORES):
            score = f"run {table.uri.command('score')} first"
            advice = f"; {lacks_captions(table) or score}"
        none = f"none of the {counted(rows, 'row')} has a {' and a '.join(rule.columns)}"
        raise TableError(f"table {table.uri}: {none}{advice}")

"""Which pairs to keep: what the user asks for, and the cuts that it comes to, for each group of rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline import schema
from pipeline.errors import EstimateError, TableError
from pipeline.filtering import earlier
from pipeline.filtering.cuts import top_fraction
from pipeline.filtering.estimate import draw, mismatch
from pipeline.filtering.estimate.mismatch import CannotTellError
from pipeline.filtering.made_cut import MadeCut
from pipeline.filtering.rule import CutRule, Rule, cut_rules
from pipeline.filtering.scores import ScoredGroup, read_groups, require_numbers
from pipeline.schema import Identity
from pipeline.table import EMBEDDED, Table
from siglip_core import similarity


@dataclass(frozen=True)
class Selection:
    """Which pairs to keep: by a column and exactly one of the four cuts that follow it, or by `rule`.

    With `rule`, `threshold_from` may name the manifest of a filter by that rule, whose cuts are then those found there.
    """

    by: str | None = None
    """the score's column; None with `rule`"""
    minimum: float | None = None
    top_fraction: float | None = None
    max_mismatch_fraction: float | None = None
    threshold_from: Path | None = None
    """manifest of an earlier filter, whose cuts to use"""
    where: str | None = None
    """SQL over the table's columns; other rows are left out before anything is ranked"""
    per: str | None = None
    """column for each value of which there is a cut of its own"""
    seed: int = 0
    """of the samples and shuffles of `max_mismatch_fraction`"""
    rule: Rule | None = None

    @property
    def condition(self) -> str:
        return f"{EMBEDDED} AND ({self.where})" if self.where else EMBEDDED

    def condition_on(self, columns: Iterable[str]) -> str | None:
        """As `condition`, of rows that are to have values in these columns; None: every row that has meets it.

        Rejects have no scores. What need not be compared need not be read, which makes a third of a scan of scores.
        """
        scores_tell = self.where is None and self.per is None and set(columns) <= set(schema.SCORES)
        return None if scores_tell else self.condition

    @property
    def whole_rule(self) -> Rule:
        """`rule`, or that of the one cut."""
        return self.rule or CutRule(
            by=self.by,
            min=self.minimum,
            top_fraction=self.top_fraction,
            max_mismatch_fraction=self.max_mismatch_fraction,
            threshold_from=self.threshold_from,
        )


@dataclass(frozen=True)
class GroupCut:
    """The cuts for the rows of one group: those with this value in the column `per`, or all."""

    value: Any
    cuts: Sequence[MadeCut]
    """in the order of the rule's"""


def cuts(table: Table, selection: Selection) -> list[GroupCut]:
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
        found = _earlier(table, selection, rule, place)
        known = _known(rule, found) if selection.per is None else None
        if known is not None:
            made.append([known])
            continue
        scales = None if found is None else {value: cut.scales or {} for value, cut in found.items()}
        sampled = rule.max_mismatch_fraction is not None
        groups = read_groups(table, rule.score, selection.condition_on(rule.columns), selection.per, scales, sampled)
        require_scores(table, rule, sum(len(group.scores) for group in groups), selection.condition)
        if found is None:
            made.append(_made(table, selection, rule, path, groups))
        else:
            of_groups = [earlier.of_group(found, group.value, selection.per) for group in groups]
            made.append([replace(cut, scales=group.scales) for group, cut in zip(groups, of_groups, strict=True)])
        values = [group.value for group in groups]  # the same by every cut: one state, one condition
    return [GroupCut(value, of_group) for value, of_group in zip(values, zip(*made, strict=True), strict=True)]


def require_scores(table: Table, rule: CutRule, scored: int, condition: str) -> None:
    """
    Raises:
        TableError: none of the rows that meet the condition has what is cut.
    """
    if not scored:
        rows = table.count(condition)
        advice = f"; run `siglane score --table {table.uri}` first" if set(rule.columns) <= set(schema.SCORES) else ""
        raise TableError(f"table {table.uri}: none of the {rows} rows has a {' and a '.join(rule.columns)}{advice}")


def _known(rule: CutRule, found: Mapping[Any, MadeCut] | None) -> MadeCut | None:
    """The cut of all rows, where it does not depend on them."""
    is_sum = not isinstance(rule.score, str)
    if found is not None:
        return earlier.of_group(found, None, None)
    return None if is_sum or (rule.min is None and rule.max is None) else _limit(rule)


def _earlier(table: Table, selection: Selection, rule: CutRule, place: int) -> Mapping[Any, MadeCut] | None:
    """By group what an earlier filter has found for this cut of the rule; None where it is to be made."""
    if selection.rule is not None and selection.threshold_from is not None:
        return earlier.cuts(selection.threshold_from, table, None, selection.per)[place]
    if rule.threshold_from is not None:
        return earlier.cuts(rule.threshold_from, table, rule.by, selection.per)[0]
    return None


def _made(table: Table, selection: Selection, rule: CutRule, path: str, groups: Sequence[ScoredGroup]) -> list[MadeCut]:
    if rule.max_mismatch_fraction is not None:
        return _estimated(table, selection, rule, path, groups)
    return [replace(_fixed(rule, group), scales=group.scales) for group in groups]


def _fixed(rule: CutRule, group: ScoredGroup) -> MadeCut:
    if rule.top_fraction is not None:
        return top_fraction.cut(group.scores, rule.top_fraction)
    return _limit(rule)


def _limit(rule: CutRule) -> MadeCut:
    if rule.min is not None:
        return MadeCut(rule.min)
    assert rule.max is not None
    return MadeCut(rule.max, at_most=True)


def _estimated(
    table: Table, selection: Selection, rule: CutRule, path: str, groups: Sequence[ScoredGroup]
) -> list[MadeCut]:
    assert rule.max_mismatch_fraction is not None
    if rule.by not in schema.SCORES:
        raise TableError(
            f"column {rule.by!r} is no score of shuffled pairs; --max-mismatch-fraction needs --by "
            f"{', '.join(schema.SCORES[:-1])} or {schema.SCORES[-1]}"
        )
    found, failures = list[MadeCut](), list[str]()
    for group in groups:
        pairs = draw.draw(table, group.addresses, selection.seed)
        try:
            estimate = mismatch.estimate(pairs, rule.max_mismatch_fraction, selection.seed)
        except CannotTellError as error:
            of = f" of {path}" if path else ""
            of += "" if selection.per is None else f" of the pairs with {selection.per} {group.value!r}"
            failures.append(f"the mismatch fraction{of} cannot be estimated: {error}")
        else:
            threshold = in_units_of(rule.by, np.array([estimate.threshold]), table.identity)[0]
            found.append(MadeCut(float(threshold), estimate=estimate))
    if failures:
        mend = "choose a cut by --top-fraction or --min"
        mend += "" if selection.per is None else ", or leave such rows out with --where"
        raise EstimateError(f"table {table.uri}: {'; '.join(failures)}; nothing is written; {mend}")
    return found


def in_units_of(by: str, cosines: npt.NDArray[Any], identity: Identity) -> npt.NDArray[Any]:
    """Cosines as the score `by`. All three rank pairs alike."""
    if by == schema.COSINE:
        return cosines
    logits = similarity.logit(cosines, identity.logit_scale, identity.logit_bias)
    return logits if by == schema.LOGIT else similarity.probability(logits)

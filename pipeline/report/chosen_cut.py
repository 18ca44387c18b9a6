"""The cut that a report shows: an earlier filter's, or the cut for a mismatched share of 5 %, if it can be estimated.

The earlier filter may have used a rule of several cuts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline import schema
from pipeline.filtering import earlier
from pipeline.filtering.certified.certificate import Certificate
from pipeline.filtering.made_cut import MadeCut
from pipeline.filtering.manifest import Manifest
from pipeline.filtering.rule import CutRule, cut_rules, one_cut, rule_of
from pipeline.filtering.scores import ScoredGroup, Scores, read_groups
from pipeline.filtering.selection import Selection
from pipeline.mismatch import decoys, draw, normalised
from pipeline.mismatch.estimate import CannotTellError, Curves, Estimate, examine
from pipeline.mismatch.pairs import Pairs
from pipeline.report import margins
from pipeline.report.margins import Near
from pipeline.table import Table

FRACTION = 0.05
SEED = 0


@dataclass(frozen=True)
class ChosenCut:
    """One cut of the rule, or the only cut, with its threshold in each group of rows."""

    path: str
    """position in the rule, e.g. `all[1].any[0]`"""
    rule: CutRule
    groups: Sequence[ScoredGroup]
    cuts: Sequence[MadeCut | None]
    """one per group; None if the group has no cut"""

    @property
    def threshold(self) -> float | None:
        """The threshold if there is only one; infinity if nothing is kept."""
        return self.thresholds[0] if len(self.cuts) == 1 else None

    @property
    def thresholds(self) -> list[float | None]:
        return [None if cut is None else cut.threshold for cut in self.cuts]

    @property
    def at_most(self) -> bool:
        """Whether the cut keeps the rows that do not exceed it."""
        return any(cut is not None and cut.at_most for cut in self.cuts)

    @property
    def passed(self) -> list[int]:
        """Rows of each group that meet the cut."""
        return [
            0 if cut is None else cut.passed(group.scores) for group, cut in zip(self.groups, self.cuts, strict=True)
        ]


@dataclass(frozen=True)
class Chosen:
    """Where to cut: by one column, or by the cuts of a rule."""

    selection: Selection
    earlier: Path | None
    """manifest of the filter that made the cut; None: the cut is estimated"""
    cuts: Sequence[ChosenCut]
    ranked: Sequence[ScoredGroup]
    """the pairs with the score that ranks best and worst: the column of the cut, or the cosine with a rule"""
    to_rule: Sequence[Near] | None = None
    """with a rule, how near the pairs of each group are to being kept or dropped"""
    certified: Certificate | None = None
    """what labels certified about the pairs that the earlier filter kept; None without labels"""
    why_not: str | None = None
    """why there is no cut"""

    @property
    def by(self) -> str:
        """The column that `ranked` uses."""
        return self.selection.by or schema.COSINE

    @property
    def only(self) -> ChosenCut | None:
        """The single cut; None with a rule."""
        return self.cuts[0] if self.to_rule is None else None

    @property
    def threshold(self) -> float | None:
        """The threshold if there is only one; None with a rule, or if each group has its own."""
        return None if self.only is None else self.only.threshold

    @property
    def columns(self) -> list[str]:
        """The columns that pairs are ranked and cut by."""
        return list(dict.fromkeys([self.by, *(column for cut in self.cuts for column in cut.rule.columns)]))

    @property
    def rows(self) -> int:
        """Embedded pairs that the cut applies to."""
        return sum(group.rows for group in self.cuts[0].groups)

    @property
    def scored(self) -> int | None:
        """Pairs with a value for the cut; None with a rule: each of its cuts has its own count."""
        return None if self.only is None else sum(len(group.scores) for group in self.only.groups)

    @property
    def kept(self) -> int:
        return sum(self.kept_of_groups)

    @property
    def kept_of_groups(self) -> list[int]:
        if self.to_rule is None:
            return self.cuts[0].passed
        return [int(np.count_nonzero(group.margins >= 0)) for group in self.to_rule]

    @property
    def near(self) -> Sequence[Near]:
        """How near the pairs of each group are to the cut."""
        if self.to_rule is not None:
            return self.to_rule
        return [margins.to_cut(group, cut) for group, cut in zip(self.ranked, self.cuts[0].cuts, strict=True)]


@dataclass(frozen=True)
class Evidence:
    """Estimates about the pairs that the cut applies to, from a sample of them."""

    by: str
    """the score: the normalised score if the cut is by it, otherwise the cosine"""
    pairs: int
    """size of the sample"""
    decoys: Mapping[str, Scores]
    """by score: scores of captions dealt to random other images"""
    curves: Curves | None = None
    contradicted: float | None = None
    """share of all pairs that contradict random captions; None: hardly any"""
    estimate: Estimate | None = None
    """the estimate at the cut for `FRACTION`, if that was asked for"""
    why_no_curve: str | None = None
    why_no_cut: str | None = None


def evidence(table: Table, selection: Selection, makes_cut: bool) -> Evidence:
    """Estimates over all scored pairs that meet the selection's condition, without groups.

    Args:
        makes_cut: also makes the cut for `FRACTION`.

    Raises:
        TableError: the table lacks the score.
    """
    by = normalised.COLUMN if selection.by == normalised.COLUMN else schema.COSINE
    (group,) = read_groups(table, by, selection.condition, None)
    if not len(group.addresses):
        none = "no pair is scored"
        return Evidence(by, 0, {}, why_no_curve=none, why_no_cut=none if makes_cut else None)
    pairs = draw.draw(table, group.addresses, SEED, by)
    of_decoys = _decoys(pairs, by)
    try:
        examined = examine(pairs, SEED)
    except CannotTellError as error:
        return Evidence(by, len(pairs), of_decoys, why_no_curve=str(error), why_no_cut=str(error))
    found, why_no_cut = None, None
    if makes_cut:
        try:
            found = examined.estimate(FRACTION)
        except CannotTellError as error:
            why_no_cut = str(error)
    return Evidence(
        by, len(pairs), of_decoys, examined.curves(), examined.contradicted("random"), found, why_no_cut=why_no_cut
    )


def choose(table: Table, selection: Selection, found: Evidence, manifest: Path | None) -> Chosen:
    """The cut of the earlier filter that wrote the manifest; without a manifest, the estimated cut.

    Raises:
        UsageError: the manifest is for scores of another model.
        TableError: the table lacks a column that the earlier filter used.
    """
    if manifest is not None:
        cuts = _earlier(table, selection, manifest)
        if selection.rule is None:
            labelled = Manifest.read(manifest).certified
            certified = None if labelled is None else Certificate(**labelled)
            return Chosen(selection, manifest, cuts, cuts[0].groups, certified=certified)
        of_groups = zip(*(zip(cut.groups, cut.cuts, strict=True) for cut in cuts), strict=True)
        to_rule = [margins.to_rule(selection.rule, of_group) for of_group in of_groups]
        cosines = read_groups(table, schema.COSINE, selection.condition, None)
        return Chosen(selection, manifest, cuts, cosines, to_rule)
    groups = read_groups(table, schema.COSINE, selection.condition, None)
    ((path, rule),) = cut_rules(selection.whole_rule)
    cut = None if found.estimate is None else MadeCut(found.estimate.threshold)
    return Chosen(selection, None, [ChosenCut(path, rule, groups, [cut])], groups, why_not=found.why_no_cut)


def _earlier(table: Table, selection: Selection, manifest: Path) -> list[ChosenCut]:
    found = earlier.cuts(manifest, table, selection.by, selection.per)
    cuts = []
    for (path, rule), of_groups in zip(cut_rules(selection.whole_rule), found, strict=True):
        scales = {value: cut.scales or {} for value, cut in of_groups.items()}
        groups = read_groups(table, rule.score, selection.condition, selection.per, scales)
        cuts.append(ChosenCut(path, rule, groups, [of_groups.get(group.value) for group in groups]))
    return cuts


def selection_of(manifest: Path | None) -> Selection:
    """The selection of the earlier filter; without one, a cut by the cosine.

    Raises:
        UsageError: the file is not a filter's manifest.
    """
    if manifest is None:
        return Selection(one_cut(schema.COSINE, max_mismatch_fraction=FRACTION))
    found = Manifest.read(manifest)
    if found.by is None:
        return Selection(rule=rule_of(manifest), earlier=manifest, where=found.where, per=found.per)
    cut = one_cut(found.by, threshold_from=manifest)
    return Selection(cut, where=found.where, per=found.per, wrong_captions=found.wrong_captions)


def _decoys(pairs: Pairs, by: str) -> dict[str, Scores]:
    """The random decoys behind the estimate, made again with the same seed."""
    dealt = decoys.dealt_at_random(pairs, np.random.default_rng(SEED))
    return {schema.COSINE: pairs.cosines(dealt.images, dealt.captions), by: dealt.scores}

"""The cut, and the share of mismatched pairs among the kept ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from markupsafe import Markup

from pipeline.filtering.certified.certificate import Certificate
from pipeline.filtering.scores import ScoredGroup
from pipeline.mismatch.estimate import Assumption
from pipeline.report import wording
from pipeline.report.chosen_cut import FRACTION, ChosenCut
from pipeline.report.contents import Contents
from pipeline.report.markup import element, joined
from pipeline.report.sections import curves
from pipeline.report.sections.table import table

_SOURCES: dict[Assumption, str] = {
    "random": "those of random other images",
    "similar": "those of similar images",
    "any": "of both kinds",
}

_CONTRADICTED = "contradicted by the scores"
_BEYOND = (
    "What no estimate counts: a caption that is nearly right, e.g. with one wrong attribute, scores about as high as a "
    "right one. Such pairs are kept. Only labels count them. So look at the pairs just above the cut."
)


def section(contents: Contents) -> Markup:
    return joined(
        [
            _contradicted(contents),
            *_summary(contents),
            _mismatched(contents),
            _groups(contents),
            _cuts_of_rule(contents),
            *curves.section(contents),
            element("p", _BEYOND, class_="note"),
        ]
    )


def _contradicted(contents: Contents) -> Markup | None:
    share = contents.evidence.contradicted
    if share is None:
        return None
    return element(
        "p",
        f"The scores contradict that wrong captions are those of random images: about {wording.share(share)} of the "
        "pairs score lower than matched ones, but not where random captions do. So do not believe the estimate for "
        "random captions. Use the bound (siglane filter --wrong-captions any), or label pairs.",
        class_="note",
    )


def _summary(contents: Contents) -> Iterator[Markup]:
    chosen, found = contents.chosen, contents.evidence
    selection = chosen.selection
    if chosen.why_not is not None:
        yield element(
            "p",
            f"No cut: the cut for {wording.share(FRACTION)} mismatched pairs cannot be estimated, because "
            f"{chosen.why_not}.",
            class_="note",
        )
        by = "" if found.curves is None else " by the curves below"
        yield element(
            "p",
            f"Choose a cut{by}: run siglane filter with --top-fraction or --min, and give its output folder to "
            "siglane report with --threshold-from.",
        )
        return
    where = f", of the rows where {selection.where}" if selection.where else ""
    if chosen.scored is None:
        yield element(
            "p",
            f"The rule of the earlier filter {chosen.earlier} keeps {wording.count(chosen.kept)} of "
            f"{wording.count(chosen.rows, 'pair')}{where}. There is no estimate of the mismatched pairs among them: it "
            "exists only for single cuts.",
        )
        return
    kept = f"keeps {wording.count(chosen.kept)} of {wording.count(chosen.scored, 'scored pair')}{where}."
    if chosen.earlier is not None:
        at = f" at {selection.by} {wording.value(chosen.threshold)}" if chosen.threshold is not None else ""
        yield element("p", f"The cut of the earlier filter {chosen.earlier}{at} {kept}")
    else:
        assert found.estimate is not None
        yield element(
            "p",
            f"The cut: {chosen.by} {wording.value(found.estimate.threshold)} {kept} It is the lowest cut at which at "
            f"most {wording.share(FRACTION)} of the kept pairs are estimated to be mismatched, if wrong captions are "
            f"{_SOURCES['random']}.",
        )


def _mismatched(contents: Contents) -> Markup | None:
    """How many of the kept pairs are mismatched, under each assumption and by labels."""
    at, certified, found = contents.at_cut, contents.chosen.certified, contents.evidence.estimate
    rows = []
    if certified is not None:
        rows.append(
            [
                "of any kind: by labels",
                f"at most {wording.share(certified.fraction)}",
                _certified(certified),
            ]
        )
    if at is not None:
        interval = "" if found is None else f", with 95 % confidence {wording.span(*found.interval)}"
        # only random captions explain pairs with so low scores that similar ones alone would need to be more
        beyond = at.mismatched["similar"] > at.mismatched["any"]
        kinds: dict[Assumption, tuple[str, str]] = {
            "random": ("", f"an estimate{interval}" if contents.evidence.contradicted is None else _CONTRADICTED),
            "similar": ("", _CONTRADICTED if beyond else "an estimate, on the safe side"),
            "any": ("at most ", "a bound: the most that the scores allow"),
        }
        for assumption in sorted(kinds, key=lambda kind: kind != at.assumes):  # that of the filter first
            most, what = kinds[assumption]
            what += "; the filter assumes this" if assumption == at.assumes and contents.chosen.earlier else ""
            rows.append([_SOURCES[assumption], f"{most}{wording.share(at.mismatched[assumption])}", what])
    if not rows:
        return None
    return table(["if wrong captions are", "mismatched among the kept pairs", "this is"], rows, texts=3)


def _certified(found: Certificate) -> str:
    words = (
        f"certified with {wording.tick(found.confidence)} confidence when the filter ran; of the kept pairs, "
        f"{wording.count(found.labels, 'is', 'are')} labelled: {wording.count(found.wrong)} wrong, "
        f"{wording.count(found.unsure)} unsure"
    )
    return words if found.assumes is None else f"{words}; this assumes that {found.assumes}"


def _groups(contents: Contents) -> Markup | None:
    chosen = contents.chosen
    if chosen.selection.per is None:
        return None
    kept, groups = map(wording.count, chosen.kept_of_groups), chosen.cuts[0].groups
    if chosen.only is None:
        rows = [
            [_name(group), wording.count(group.rows), of_group] for group, of_group in zip(groups, kept, strict=True)
        ]
        return table([chosen.selection.per, "pairs", "kept"], rows)
    rows = [
        [_name(group), wording.count(len(group.scores)), _limit(threshold), of_group]
        for group, threshold, of_group in zip(groups, chosen.only.thresholds, kept, strict=True)
    ]
    return table([chosen.selection.per, "scored", f"cut, {chosen.by}", "kept"], rows)


def _cuts_of_rule(contents: Contents) -> Markup | None:
    """Each cut of the rule, in each group."""
    chosen = contents.chosen
    if chosen.only is not None:
        return None
    per = [] if chosen.selection.per is None else [chosen.selection.per]
    heads = [*per, "cut of the rule", "score", "keeps", "pairs with the score", "pairs that pass"]
    of_cuts = [_of_groups(cut, bool(per)) for cut in chosen.cuts]
    rows = [row for of_group in zip(*of_cuts, strict=True) for row in of_group]
    return table(heads, rows, texts=len(per) + 2)


def _of_groups(cut: ChosenCut, named: bool) -> list[list[str]]:
    sign = "≤" if cut.at_most else "≥"
    return [
        [
            *([_name(group)] if named else []),
            cut.path or "the only cut",
            cut.rule.name,
            _limit(threshold, f"{sign} "),
            wording.count(len(group.scores)),
            wording.count(passed),
        ]
        for group, threshold, passed in zip(cut.groups, cut.thresholds, cut.passed, strict=True)
    ]


def _name(group: ScoredGroup) -> str:
    return "null" if group.value is None else str(group.value)


def _limit(threshold: float | None, sign: str = "") -> str:
    if threshold is None:
        return "no cut"
    return "keeps nothing" if np.isinf(threshold) else sign + wording.value(threshold)

"""Where the cut lies, and what is estimated of what it keeps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from markupsafe import Markup

from pipeline.filtering.estimate.mismatch import Curve
from pipeline.filtering.scores import ScoredGroup
from pipeline.report import charts, wording
from pipeline.report.chosen_cut import FRACTION, ChosenCut, as_cosine
from pipeline.report.contents import Contents
from pipeline.report.markup import element, joined
from pipeline.report.sections.table import table

_POINTS = 240

_BEYOND = (
    "What it cannot know: a caption that is nearly right, of one attribute changed say, scores about as a right one. "
    "No shuffle makes such captions, so they lie beyond this estimate: they are kept, and not counted."
)


def section(contents: Contents) -> Markup:
    return joined(
        [
            *_told(contents),
            _groups(contents),
            _cuts_of_rule(contents),
            *_curve(contents),
            element("p", _BEYOND, class_="note"),
        ]
    )


def estimated_here(contents: Contents) -> float | None:
    """The share of mismatched pairs that is estimated at the cut; None where it cannot be told."""
    at = _place(contents)
    curve = contents.evidence.curve
    return None if at is None or curve is None else float(curve.mismatched[at])


def _told(contents: Contents) -> Iterator[Markup]:
    chosen, found = contents.chosen, contents.evidence
    selection = chosen.selection
    if chosen.why_not is not None:
        yield element(
            "p",
            f"No cut: for a share of {wording.share(FRACTION)} mismatched pairs it cannot tell, because "
            f"{chosen.why_not}.",
            class_="note",
        )
        yield element(
            "p",
            "Choose one by siglane filter with --top-fraction or --min, and give its _manifest.json to "
            "siglane report with --threshold-from.",
        )
        return
    if chosen.scored is None:
        where = f", of the rows where {selection.where}" if selection.where else ""
        yield element(
            "p",
            f"The rule of the earlier filter {chosen.earlier} keeps {wording.count(chosen.kept)} of "
            f"{wording.count(chosen.rows, 'pair')}{where}. How many of these are mismatched is not told: that is "
            "estimated of cuts by the cosine alone.",
        )
        return
    kept = f"keeps {wording.count(chosen.kept)} of {wording.count(chosen.scored, 'scored pair')}"
    if chosen.earlier is not None:
        where = f", of the rows where {selection.where}" if selection.where else ""
        at = f" at {selection.by} {wording.value(chosen.threshold)}" if chosen.threshold is not None else ""
        told = f"The cut of the earlier filter {chosen.earlier}{at} {kept}{where}."
        mismatched = estimated_here(contents)
        if mismatched is not None:
            told += f" Of these {wording.share(mismatched)} are estimated to be mismatched."
        yield element("p", told)
    else:
        assert found.estimate is not None
        low, high = found.estimate.interval
        yield element(
            "p",
            f"The lowest cut at which at most {wording.share(FRACTION)} of the kept pairs are estimated to be "
            f"mismatched: cosine {wording.value(found.estimate.threshold)} {kept}. Of these "
            f"{wording.share(found.estimate.mismatch_fraction)} are estimated to be mismatched, "
            f"{wording.share(low)} to {wording.share(high)} by a bootstrap; of all pairs "
            f"{wording.share(found.estimate.pi0)}.",
        )


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
    heads = [*per, "cut of the rule", "of", "keeps", "pairs that have it", "that meet it"]
    of_cuts = [_of_groups(cut, bool(per)) for cut in chosen.cuts]
    rows = [row for of_group in zip(*of_cuts, strict=True) for row in of_group]
    return table(heads, rows, texts=len(per) + 2)


def _of_groups(cut: ChosenCut, named: bool) -> list[list[str]]:
    sign = "≤" if cut.at_most else "≥"
    return [
        [
            *([_name(group)] if named else []),
            cut.path or "the only one",
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


def _curve(contents: Contents) -> Iterator[Markup]:
    found = contents.evidence
    if found.curve is None and contents.chosen.why_not is not None:
        return  # said already, of the cut
    if found.curve is None:
        yield element(
            "p", f"How many of the kept pairs are mismatched: cannot tell, because {found.why_no_curve}.", class_="note"
        )
        return
    at = _place(contents)
    curve = found.curve
    mark = None if at is None else (float(curve.kept[at]), float(curve.mismatched[at]))
    at_cosine = None if at is None else (float(curve.thresholds[at]), float(curve.mismatched[at]))
    few = np.unique(np.linspace(0, len(curve.kept) - 1, _POINTS).astype(int))
    lines = [("random", curve.random_alone[few]), ("estimate", curve.mismatched[few])]
    name = "Estimated share of mismatched pairs among those kept"
    told = _description(curve, mark)
    yield element(
        "div",
        _figure(
            "by the share kept", charts.curve(f"{name}, by the share kept", told, curve.kept[few], lines, True, mark)
        ),
        _figure(
            "by the cosine of the cut",
            charts.curve(f"{name}, by the cut", told, curve.thresholds[few], lines, False, at_cosine),
        ),
        class_="columns wide",
    )
    yield element(
        "p",
        f"Estimated from {wording.count(found.pairs, 'pair')}: how their scores compare with those of pairs whose "
        "captions were dealt to other images, at random and to similar ones. The solid line is the safer of both "
        "together and the random deal alone, which is the broken line.",
        class_="soft",
    )
    if at is None and contents.chosen.why_not is None:
        yield element("p", _why_unmarked(contents), class_="soft")


def _figure(heading: str, drawn: Markup) -> Markup:
    legend = element(
        "div",
        element("span", "estimated mismatched, of those kept"),
        element("span", "if all were dealt at random", class_="shuffled"),
        class_="legend",
    )
    return element("figure", element("h3", f"Mismatched share, {heading}"), drawn, legend, class_="card")


def _description(curve: Curve, mark: tuple[float, float] | None) -> str:
    told = f"From {wording.share(float(curve.mismatched[0]))} where all pairs are kept to "
    told += f"{wording.share(float(curve.mismatched[-1]))} where the best {wording.share(float(curve.kept[-1]))} are."
    if mark is not None:
        told += f" At the cut {wording.share(mark[0])} are kept, {wording.share(mark[1])} of them mismatched."
    return told


def _place(contents: Contents) -> int | None:
    """Where on the curve the cut lies."""
    chosen, curve = contents.chosen, contents.evidence.curve
    if curve is None or chosen.threshold is None or len(curve.thresholds) == 0:
        return None
    if chosen.only is not None and chosen.only.at_most:
        return None
    cosine = as_cosine(chosen.by, chosen.threshold, contents.table)
    if cosine is None or cosine > curve.thresholds[-1]:
        return None
    # the edge at the cut or just below it: no less is kept, so no fewer are mismatched
    return max(0, int(np.searchsorted(curve.thresholds, cosine + 1e-9, side="right")) - 1)


def _why_unmarked(contents: Contents) -> str:
    chosen = contents.chosen
    if chosen.only is None:
        return "The cut is not marked: it is a rule, and the curve is of cuts by the cosine alone."
    if chosen.threshold is None:
        return "The cut is not marked: each group has its own, and the curve is of all groups together."
    if chosen.only.at_most:
        return "The cut is not marked: it keeps what is below it, and the curve is of cuts that keep what is above."
    if as_cosine(chosen.by, chosen.threshold, contents.table) is None:
        return f"The cut is not marked: it is by {chosen.by}, and the curve is of cuts by the cosine."
    return "The cut is not marked: it keeps fewer pairs than anything can be estimated of."

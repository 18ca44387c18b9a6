"""The cut, and the estimated share of mismatched pairs among the kept ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from markupsafe import Markup

from pipeline.filtering.scores import ScoredGroup
from pipeline.mismatch.estimate import Curves
from pipeline.report import charts, wording
from pipeline.report.chosen_cut import FRACTION, ChosenCut, as_cosine
from pipeline.report.contents import Contents
from pipeline.report.markup import element, joined
from pipeline.report.sections.table import table

_POINTS = 240

_BEYOND = (
    "Limit of this estimate: a caption that is nearly right, e.g. with one wrong attribute, scores about as high as a "
    "right one. Shuffles do not produce such captions, so the estimate does not count them: they are kept."
)


def section(contents: Contents) -> Markup:
    return joined(
        [
            *_summary(contents),
            _groups(contents),
            _cuts_of_rule(contents),
            *_curve(contents),
            element("p", _BEYOND, class_="note"),
        ]
    )


def estimated_here(contents: Contents) -> float | None:
    """The estimated share of mismatched pairs at the cut; None if it cannot be estimated."""
    at = _place(contents)
    found = contents.evidence.curves
    return None if at is None or found is None else float(found.mismatched["random"][at])


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
        yield element(
            "p",
            "Choose a cut: run siglane filter with --top-fraction or --min, and give its output folder to "
            "siglane report with --threshold-from.",
        )
        return
    if chosen.scored is None:
        where = f", of the rows where {selection.where}" if selection.where else ""
        yield element(
            "p",
            f"The rule of the earlier filter {chosen.earlier} keeps {wording.count(chosen.kept)} of "
            f"{wording.count(chosen.rows, 'pair')}{where}. There is no estimate of the mismatched pairs among them: it "
            "exists only for cuts by the cosine.",
        )
        return
    kept = f"keeps {wording.count(chosen.kept)} of {wording.count(chosen.scored, 'scored pair')}"
    if chosen.earlier is not None:
        where = f", of the rows where {selection.where}" if selection.where else ""
        at = f" at {selection.by} {wording.value(chosen.threshold)}" if chosen.threshold is not None else ""
        words = f"The cut of the earlier filter {chosen.earlier}{at} {kept}{where}."
        mismatched = estimated_here(contents)
        if mismatched is not None:
            words += f" An estimated {wording.share(mismatched)} of the kept pairs are mismatched."
        yield element("p", words)
    else:
        assert found.estimate is not None
        low, high = found.estimate.interval
        yield element(
            "p",
            f"The lowest cut with an estimated share of at most {wording.share(FRACTION)} mismatched pairs: cosine "
            f"{wording.value(found.estimate.threshold)} {kept}. An estimated "
            f"{wording.share(found.estimate.mismatch_fraction)} of the kept pairs are mismatched "
            f"({wording.share(low)} to {wording.share(high)}, 95 % interval), and "
            f"{wording.share(found.estimate.pi0)} of all pairs, if wrong captions are those of random other images. "
            f"If some are those of similar images, at most {wording.share(found.estimate.mismatch_upper_any)} of the "
            "kept pairs are.",
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


def _curve(contents: Contents) -> Iterator[Markup]:
    found = contents.evidence
    if found.curves is None and contents.chosen.why_not is not None:
        return  # `_summary` has said why
    if found.curves is None:
        yield element(
            "p",
            f"The mismatched share of kept pairs cannot be estimated, because {found.why_no_curve}.",
            class_="note",
        )
        return
    at = _place(contents)
    curve = found.curves
    random, bound = curve.mismatched["random"], curve.mismatched["any"]
    mark = None if at is None else (float(curve.kept[at]), float(random[at]))
    at_cosine = None if at is None else (float(curve.thresholds[at]), float(random[at]))
    few = np.unique(np.linspace(0, len(curve.kept) - 1, _POINTS).astype(int))
    lines = [("bound", bound[few]), ("estimate", random[few])]
    name = "Estimated share of mismatched pairs among the kept pairs"
    words = _description(curve, mark)
    yield element(
        "div",
        _figure(
            "by the share kept", charts.curve(f"{name}, by the share kept", words, curve.kept[few], lines, True, mark)
        ),
        _figure(
            "by the cosine of the cut",
            charts.curve(f"{name}, by the cut", words, curve.thresholds[few], lines, False, at_cosine),
        ),
        class_="columns wide",
    )
    yield element(
        "p",
        f"Estimated from {wording.count(found.pairs, 'pair')}, by comparing their scores with those of captions dealt "
        "to other images. The solid line assumes that wrong captions are those of random images. The broken line is "
        "the largest share that the scores allow if some are those of similar images.",
        class_="soft",
    )
    if at is None and contents.chosen.why_not is None:
        yield element("p", _why_unmarked(contents), class_="soft")


def _figure(heading: str, drawn: Markup) -> Markup:
    legend = element(
        "div",
        element("span", "if wrong captions are random"),
        element("span", "at most, if some are those of similar images", class_="bound"),
        class_="legend",
    )
    return element("figure", element("h3", f"Mismatched share, {heading}"), drawn, legend, class_="card")


def _description(curve: Curves, mark: tuple[float, float] | None) -> str:
    random = curve.mismatched["random"]
    words = f"{wording.share(float(random[0]))} if all pairs are kept, "
    words += f"{wording.share(float(random[-1]))} if only the best {wording.share(float(curve.kept[-1]))} are."
    if mark is not None:
        words += f" The cut keeps {wording.share(mark[0])}; {wording.share(mark[1])} of these are mismatched."
    return words


def _place(contents: Contents) -> int | None:
    """The cut's index on the curve; None if the cut is not on it."""
    chosen, curve = contents.chosen, contents.evidence.curves
    if curve is None or chosen.threshold is None or len(curve.thresholds) == 0:
        return None
    if chosen.only is not None and chosen.only.at_most:
        return None
    cosine = as_cosine(chosen.by, chosen.threshold, contents.table)
    if cosine is None or cosine > curve.thresholds[-1]:
        return None
    # the edge at the cut or just below it: it keeps at least as many pairs, so the estimate is on the safe side
    return max(0, int(np.searchsorted(curve.thresholds, cosine + 1e-9, side="right")) - 1)


def _why_unmarked(contents: Contents) -> str:
    chosen = contents.chosen
    if chosen.only is None:
        return "The cut is not marked: it is a rule, but the curve shows only cuts by the cosine."
    if chosen.threshold is None:
        return "The cut is not marked: each group has its own cut, but the curve shows all groups together."
    if chosen.only.at_most:
        return "The cut is not marked: it keeps the pairs below it, but the curve shows cuts that keep the pairs above."
    if as_cosine(chosen.by, chosen.threshold, contents.table) is None:
        return f"The cut is not marked: it is by {chosen.by}, but the curve shows cuts by the cosine."
    return "The cut is not marked: it keeps too few pairs for an estimate."

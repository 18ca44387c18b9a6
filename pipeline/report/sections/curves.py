"""The share of mismatched pairs among the kept ones, at every cut and under each assumption."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from markupsafe import Markup

from pipeline.mismatch.estimate import Assumption, Curves
from pipeline.report import charts, wording
from pipeline.report.at_cut import in_units_of_curve
from pipeline.report.contents import Contents
from pipeline.report.markup import element
from pipeline.report.sections.table import table

_POINTS = 240

_LINES: Sequence[tuple[Assumption, str]] = (
    ("any", "the most that the scores allow, of both kinds"),
    ("similar", "if wrong captions are those of similar images"),
    ("random", "if wrong captions are those of random images"),
)
"""the later ones are drawn over the earlier ones"""
_Q_VALUE = "q_value"
_ASKED = (0.01, 0.02, 0.05, 0.1)


def section(contents: Contents) -> Iterator[Markup]:
    found = contents.evidence
    if found.curves is None or len(found.curves.kept) == 0:
        if contents.chosen.why_not is None:  # otherwise it is told already
            words = f"The mismatched share of kept pairs cannot be estimated, because {found.why_no_curve}."
            yield element("p", words, class_="note")
        return
    yield element("h3", "Which cut?")
    yield element(
        "p",
        "Each point of a line is a cut: a score that a pair must reach to be kept. The higher the cut, the fewer pairs "
        "are kept, and the fewer of these are mismatched. A good cut is where a line stops falling steeply. Beyond "
        "that, a higher cut mostly removes good pairs. Where very few pairs are kept, chance makes the lines rise.",
    )
    yield element("div", *_figures(contents, found.curves), class_="columns wide")
    yield element(
        "p",
        "Which line applies? Scores do not show where wrong captions come from. In a web crawl, most are those of "
        "random images. In a product catalogue, they are often those of similar images. If you do not know, go by the "
        "broken line.",
    )
    if np.any(found.curves.mismatched["similar"] > found.curves.mismatched["any"]):
        yield element(
            "p",
            "Where the dotted line lies above the broken one, it is too high: many pairs there score so low that only "
            "random captions explain them.",
            class_="soft",
        )
    yield element("p", "The lowest cuts, if wrong captions are random, and if they may be of both kinds:")
    yield _cuts(found.by, found.curves)
    yield element(
        "p",
        f"Estimated from {wording.count(found.pairs, 'pair')}, by comparing their scores with those of captions dealt "
        "to other images.",
        class_="soft",
    )
    if contents.at_cut is None and contents.chosen.why_not is None:
        yield element("p", _why_unmarked(contents), class_="soft")


def _figures(contents: Contents, curve: Curves) -> Iterator[Markup]:
    at, by = contents.at_cut, contents.evidence.by
    few = np.unique(np.linspace(0, len(curve.kept) - 1, _POINTS).astype(int))
    lines = [(assumption, curve.mismatched[assumption][few]) for assumption, _ in _LINES]
    dots: list[tuple[str, float]] = [] if at is None else [(at.assumes, at.mismatch_fraction)]
    if contents.chosen.certified is not None:
        dots.append(("certified", contents.chosen.certified.fraction))
    name, words = "Mismatched among the kept pairs", _description(contents, curve)
    for heading, way, x, percent, place in (
        ("by the share kept", "left", curve.kept, True, None if at is None else at.kept),
        (f"by the {by} of the cut", "right", curve.thresholds, False, None if at is None else at.threshold),
    ):
        drawn = charts.curve(f"{name}, {heading}", words, x[few], lines, percent, place, dots)
        about = element("p", element("small", f"A higher cut is further to the {way}."))
        yield element("figure", element("h3", f"Mismatched, {heading}"), drawn, _legend(contents), about, class_="card")


def _legend(contents: Contents) -> Markup:
    known = [element("span", words, class_=assumption) for assumption, words in reversed(_LINES)]
    if contents.at_cut is not None and contents.chosen.certified is not None:
        known.append(element("span", "at most, certified by labels", class_="certified"))
    return element("div", *known, class_="legend")


def _description(contents: Contents, curve: Curves) -> str:
    at, (random, bound) = contents.at_cut, (curve.mismatched[assumption] for assumption in ("random", "any"))
    words = f"If wrong captions are random: {wording.share(float(random[0]))} if all pairs are kept, "
    words += f"{wording.share(float(random[-1]))} if only the best {wording.share(float(curve.kept[-1]))} are. "
    words += f"The most that the scores allow: {wording.share(float(bound[0]))} and {wording.share(float(bound[-1]))}."
    if at is not None:
        words += f" The cut keeps {wording.share(at.kept)}; of these, {wording.share(at.mismatched['random'])} and "
        words += f"{wording.share(at.mismatched['any'])}."
    return words


def _cuts(by: str, curve: Curves) -> Markup:
    """The lowest cut for some shares, by the estimate and by the bound."""
    rows = [
        [f"at most {wording.tick(asked)}", *_lowest(curve, "random", asked), *_lowest(curve, "any", asked)]
        for asked in _ASKED
    ]
    return table(["mismatched", f"random: {by}", "keeps", f"both kinds: {by}", "keeps"], rows)


def _lowest(curve: Curves, assumption: Assumption, asked: float) -> tuple[str, str]:
    """Threshold and share kept."""
    reached = np.flatnonzero(curve.mismatched[assumption] <= asked)
    if not len(reached):
        return "no cut", "–"
    return wording.value(float(curve.thresholds[reached[0]])), wording.share(float(curve.kept[reached[0]]))


def _why_unmarked(contents: Contents) -> str:
    chosen, by = contents.chosen, contents.evidence.by
    if chosen.only is None:
        return f"The cut is not marked: it is a rule, but the curves show only cuts by the {by}."
    if chosen.threshold is None:
        return "The cut is not marked: each group has its own cut, but the curves show all groups together."
    if chosen.only.at_most and chosen.by == _Q_VALUE:
        at = wording.share(chosen.threshold)
        return f"The cut is by {_Q_VALUE}: an estimated share of at most {at} of the kept pairs is mismatched."
    if chosen.only.at_most:
        return "The cut is not marked: it keeps the pairs below it, but the curves show cuts that keep the pairs above."
    if chosen.by != by and in_units_of_curve(chosen.by, chosen.threshold, by, contents.table.identity) is None:
        return f"The cut is not marked: it is by {chosen.by}, but the curves show cuts by the {by}."
    return "The cut is not marked: it keeps too few pairs for an estimate."

"""A histogram of each column of numbers; of scores, of shuffled pairs too."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from pipeline import schema
from pipeline.filtering.scores import in_units_of
from pipeline.report import charts, wording
from pipeline.report.contents import Contents
from pipeline.report.distributions import Distribution
from pipeline.report.markup import element, joined

_MOST_BARS, _FEWEST_BARS = 64, 16
_TAIL = 0.001
"""of the values, at either end, that the outermost bars take in"""

Values = npt.NDArray[np.float64]


def section(contents: Contents) -> Markup:
    told = "Of all embedded pairs. Shuffled pairs are the same images with other images' captions, dealt at random"
    told += f", of those where {contents.chosen.selection.where}." if contents.chosen.selection.where else "."
    drawn = [_figure(contents, distribution) for distribution in contents.distributions]
    parts = [element("p", told, class_="soft"), element("div", *drawn, class_="columns")]
    if contents.not_shown:
        parts.append(element("p", f"Not shown: {', '.join(contents.not_shown)}.", class_="soft"))
    return joined(parts)


def _figure(contents: Contents, distribution: Distribution) -> Markup:
    name = distribution.name
    if not distribution.values:
        told = "No row has one yet" + ("; siglane score fills it in." if name in schema.SCORES else ".")
        return element("figure", element("h3", name), element("p", told, class_="soft"), class_="card")
    shuffled = _shuffled(contents, name)
    edges = _edges(distribution, shuffled)
    cuts = [cut.threshold for cut in contents.chosen.cuts if cut.rule.by == name and cut.threshold is not None]
    bars = distribution.within(edges) / distribution.values
    of_shuffled = None if shuffled is None else _within(shuffled, edges) / len(shuffled)
    every = bars if of_shuffled is None else np.concatenate([bars, of_shuffled])
    top = charts.height(every)
    told = _told(distribution)
    if every.max() > top:
        told += f" The tallest bar, cut off here, is of {wording.share(float(every.max()))}."
    drawn = charts.histogram(f"Distribution of {name}", told, edges, bars, of_shuffled, top, cuts)
    legend = [
        element("span", "pairs"),
        None if shuffled is None else element("span", "shuffled pairs", class_="shuffled"),
    ]
    words = element("p", element("small", told))
    return element("figure", element("h3", name), drawn, element("div", *legend, class_="legend"), words, class_="card")


def _shuffled(contents: Contents, name: str) -> Values | None:
    cosines = contents.evidence.shuffled
    if name not in schema.SCORES or len(cosines) == 0:
        return None
    return in_units_of(name, cosines, contents.table.identity).astype(np.float64)


def _edges(distribution: Distribution, shuffled: Values | None) -> Values:
    # few values in many bars would show chance alone
    bars = int(np.clip(3 * np.cbrt(distribution.values), _FEWEST_BARS, _MOST_BARS))
    low, high = distribution.quantile(_TAIL), distribution.quantile(1 - _TAIL)
    if shuffled is not None:
        low, high = min(low, float(np.quantile(shuffled, _TAIL))), max(high, float(np.quantile(shuffled, 1 - _TAIL)))
    if distribution.is_whole:
        low, high = round(low), round(high)
        step = -(-(high - low + 1) // bars)
        whole: Values = np.arange(low, high + 1 + step, step).astype(np.float64)
        return whole - 0.5
    if not high > low:
        low, high = low - max(abs(low), 1.0) / 2, high + max(abs(high), 1.0) / 2
    along = np.linspace(0, 1, bars + 1)
    return low * (1 - along) + high * along  # the span of the largest floats has no float


def _within(values: Values, edges: Values) -> Values:
    return np.bincount(np.searchsorted(edges[1:-1], values, side="right"), minlength=len(edges) - 1).astype(np.float64)


def _told(distribution: Distribution) -> str:
    low, middle, high = (distribution.quantile(share) for share in (0.05, 0.5, 0.95))
    told = f"Median {wording.value(middle)}, nine in ten from {wording.value(low)} to {wording.value(high)}; "
    told += f"least {wording.value(distribution.low)}, greatest {wording.value(distribution.high)}."
    if distribution.missing:
        told += f" {wording.count(distribution.missing, 'row has', 'rows have')} none."
    return told

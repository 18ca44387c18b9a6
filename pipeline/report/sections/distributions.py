"""A histogram of each numeric column. Scores also have a histogram of decoys."""

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
"""share of the values at each end that count in the outermost bars"""

Values = npt.NDArray[np.float64]


def section(contents: Contents) -> Markup:
    words = "All embedded pairs. Decoys are the same images with randomly chosen captions of other images"
    words += f", only for pairs where {contents.chosen.selection.where}." if contents.chosen.selection.where else "."
    drawn = [_figure(contents, distribution) for distribution in contents.distributions]
    parts = [element("p", words, class_="soft"), element("div", *drawn, class_="columns")]
    if contents.not_shown:
        parts.append(element("p", f"Not shown: {', '.join(contents.not_shown)}.", class_="soft"))
    return joined(parts)


def _figure(contents: Contents, distribution: Distribution) -> Markup:
    name = distribution.name
    if not distribution.values:
        empty = "No row has a value" + ("; run siglane score to compute it." if name in schema.SCORES else ".")
        return element("figure", element("h3", name), element("p", empty, class_="soft"), class_="card")
    shuffled = _shuffled(contents, name)
    edges = _edges(distribution, shuffled)
    cuts = [cut.threshold for cut in contents.chosen.cuts if cut.rule.by == name and cut.threshold is not None]
    bars = distribution.within(edges) / distribution.values
    of_shuffled = None if shuffled is None else _within(shuffled, edges) / len(shuffled)
    every = bars if of_shuffled is None else np.concatenate([bars, of_shuffled])
    top = charts.height(every)
    summary = _summary(distribution)
    if every.max() > top:
        summary += f" The tallest bar is cut off; it is {wording.share(float(every.max()))}."
    drawn = charts.histogram(f"Distribution of {name}", summary, edges, bars, of_shuffled, top, cuts)
    legend = [
        element("span", "pairs"),
        None if shuffled is None else element("span", "decoys", class_="shuffled"),
    ]
    words = element("p", element("small", summary))
    return element("figure", element("h3", name), drawn, element("div", *legend, class_="legend"), words, class_="card")


def _shuffled(contents: Contents, name: str) -> Values | None:
    dealt = contents.evidence.decoys.get(schema.COSINE if name in schema.SCORES else name)
    if dealt is None or len(dealt) == 0:
        return None
    return in_units_of(name, dealt, contents.table.identity).astype(np.float64)


def _edges(distribution: Distribution, shuffled: Values | None) -> Values:
    # few values in many bars would show only chance
    bars = int(np.clip(3 * np.cbrt(distribution.values), _FEWEST_BARS, _MOST_BARS))
    low, high = distribution.quantile(_TAIL), distribution.quantile(1 - _TAIL)
    if shuffled is not None:
        low, high = min(low, float(np.quantile(shuffled, _TAIL))), max(high, float(np.quantile(shuffled, 1 - _TAIL)))
    if distribution.is_whole:
        low, high = round(low), round(high)
        step = -(-(high - low + 1) // bars)
        edges: Values = np.arange(low, high + 1 + step, step).astype(np.float64)
        return edges - 0.5
    if not high > low:
        low, high = low - max(abs(low), 1.0) / 2, high + max(abs(high), 1.0) / 2
    along = np.linspace(0, 1, bars + 1)
    return low * (1 - along) + high * along  # not low + span: the span of the largest floats overflows


def _within(values: Values, edges: Values) -> Values:
    return np.bincount(np.searchsorted(edges[1:-1], values, side="right"), minlength=len(edges) - 1).astype(np.float64)


def _summary(distribution: Distribution) -> str:
    low, middle, high = (distribution.quantile(share) for share in (0.05, 0.5, 0.95))
    words = f"Median {wording.value(middle)}; 90 % of the values from {wording.value(low)} to {wording.value(high)}; "
    words += f"minimum {wording.value(distribution.low)}, maximum {wording.value(distribution.high)}."
    if distribution.missing:
        words += f" {wording.count(distribution.missing, 'row has', 'rows have')} no value."
    return words

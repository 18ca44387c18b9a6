"""Charts as SVG: distributions, and the curve of the mismatched share at each cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from pipeline.report import wording
from pipeline.report.axis import ticks
from pipeline.report.markup import element, joined

Values = npt.NDArray[np.float64]

HEIGHT = 210
_TOP, _BOTTOM = 26.0, HEIGHT - 30.0
# the width at which the page shows them, so that text has the page's size
_HISTOGRAM, _CURVE = (340, 14.0), (460, 46.0)
"""width, and margin left of the axis"""
_RIGHT = 20.0

# A bar this many times as tall as the third tallest would make the others invisible.
_TOO_TALL = 8


@dataclass(frozen=True)
class Frame:
    """Converts values to positions in the drawing."""

    low: float
    high: float
    top: float
    """the value at the upper edge; the lower edge is 0"""
    width: float
    left: float

    @property
    def right(self) -> float:
        return self.width - _RIGHT

    def x(self, value: float) -> float:
        # halved, because the span of the largest floats overflows
        return self.left + (self.right - self.left) * ((value / 2 - self.low / 2) / (self.high / 2 - self.low / 2))

    def y(self, value: float) -> float:
        return _BOTTOM - (_BOTTOM - _TOP) * min(value / self.top, 1.0)


def height(bars: Values) -> float:
    """The height of a histogram: lower than its tallest bar if the other bars would be invisible otherwise."""
    tallest = np.sort(bars)[::-1]
    third = tallest[2] if len(tallest) > 2 else 0.0  # a column of one value has one bar
    too_tall = tallest[0] > _TOO_TALL * third > 0
    return float(_TOO_TALL / 2 * third if too_tall else tallest[0]) or 1.0


def histogram(
    name: str,
    description: str,
    edges: Values,
    pairs: Values,
    shuffled: Values | None,
    top: float,
    cuts: Sequence[float],
) -> Markup:
    """Shares [B] of pairs, and of decoys, between edges [B + 1]. Bars taller than `top` are cut off."""
    frame = Frame(float(edges[0]), float(edges[-1]), top, *_HISTOGRAM)
    drawn: list[Markup | None] = [
        element("path", d=_steps(frame, edges, pairs), class_="pairs area"),
        None if shuffled is None else element("path", d=_steps(frame, edges, shuffled), class_="shuffled area"),
        *_x_axis(frame, [wording.value(tick) for tick in ticks(frame.low, frame.high)]),
        *(_cut_line(frame, cut, "cut") for cut in cuts),
    ]
    return _svg(name, description, frame, drawn)


def curve(
    name: str,
    description: str,
    x: Values,
    lines: Sequence[tuple[str, Values]],
    percent: bool,
    cut: float | None,
    dots: Sequence[tuple[str, float]] = (),
) -> Markup:
    """Lines of shares [N] over x [N], as (class, shares). `cut`: the cut's x. `dots`: shares there, as (class, share).

    Later lines and dots are drawn over earlier ones.
    """
    shown = [*(float(shares.max()) for _, shares in lines), *(share for _, share in dots)]
    top = min(1.0, 1.1 * max(shown) or 1.0)
    low, high = (0.0, 1.0) if percent else (float(x.min()), float(x.max()))
    frame = Frame(low, high if high > low else low + 1, top, *_CURVE)
    along = [wording.tick(tick) if percent else wording.value(tick) for tick in ticks(frame.low, frame.high)]
    drawn: list[Markup | None] = [
        *_y_axis(frame),
        *_x_axis(frame, along),
        *(element("path", d=_line(frame, x, shares), class_=f"line {kind}") for kind, shares in lines),
    ]
    if cut is not None:
        drawn.append(_cut_line(frame, cut, "cut"))
        drawn += [element("circle", cx=frame.x(cut), cy=frame.y(at), r=4.5, class_=f"dot {kind}") for kind, at in dots]
    return _svg(name, description, frame, drawn)


def _svg(name: str, description: str, frame: Frame, drawn: Sequence[Markup | None]) -> Markup:
    # A screen reader reads the label. There is no <title>: it would be a tooltip over the drawing, which has a heading.
    return element(
        "svg",
        element("desc", description),
        *drawn,
        viewBox=f"0 0 {frame.width:g} {HEIGHT}",
        role="img",
        aria_label=f"{name}. {description}",
    )


def _steps(frame: Frame, edges: Values, heights: Values) -> str:
    points = [f"M{frame.x(edges[0]):.1f} {_BOTTOM:.1f}"]
    for right, height in zip(edges[1:], heights, strict=True):
        points.append(f"V{frame.y(height):.1f}H{frame.x(right):.1f}")
    return "".join([*points, f"V{_BOTTOM:.1f}Z"])


def _line(frame: Frame, x: Values, shares: Values) -> str:
    points = [f"{frame.x(at):.1f} {frame.y(share):.1f}" for at, share in zip(x, shares, strict=True)]
    return "M" + "L".join(points)


def _x_axis(frame: Frame, words: Sequence[str]) -> list[Markup]:
    axis = element("line", x1=frame.left, x2=frame.right, y1=_BOTTOM, y2=_BOTTOM, class_="axis")
    at = ticks(frame.low, frame.high)
    return [
        axis,
        *(_word(word, frame.x(tick), _BOTTOM + 19, "middle") for tick, word in zip(at, words, strict=True)),
    ]


def _y_axis(frame: Frame) -> list[Markup]:
    drawn = []
    for tick in ticks(0, frame.top, about=4):
        y = frame.y(tick)
        drawn.append(element("line", x1=frame.left, x2=frame.right, y1=y, y2=y, class_="grid"))
        drawn.append(_word(wording.tick(tick), frame.left - 6, y + 4, "end"))
    return drawn


def _cut_line(frame: Frame, at: float, word: str) -> Markup | None:
    if not frame.low <= at <= frame.high:
        return None
    x = frame.x(at)
    return joined(
        [
            element("line", x1=x, x2=x, y1=_TOP - 8, y2=_BOTTOM, class_="cut"),
            _word(word, x, _TOP - 13, "middle", "cut-word"),
        ]
    )


def _word(word: str, x: float, y: float, anchor: str, kind: str | None = None) -> Markup:
    return element("text", word, x=x, y=y, text_anchor=anchor, class_=kind)

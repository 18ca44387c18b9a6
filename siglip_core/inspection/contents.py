"""What an inspection shows, from top to bottom.

`page.py` and `picture.py` draw these blocks; they decide only how each looks. All text is plain, and is escaped where
it is drawn.
"""

from dataclasses import dataclass
from typing import Literal

from siglip_core.inspection.measure import CaptionScore, Inspection
from siglip_core.inspection.panels import PANEL, Panel, heads, panels

_HEAD = 160  # width of one head's panel, in pixels
_LONGEST = 1000  # characters of a caption; no text tower reads more


@dataclass(frozen=True)
class Text:
    kind: Literal["title", "heading", "note"]
    text: str


@dataclass(frozen=True)
class Figures:
    """Panels side by side, as many as fit."""

    panels: tuple[Panel, ...]
    width: int
    """width of each panel, in pixels"""


@dataclass(frozen=True)
class Row:
    """The cells of a caption, and the share of the first cell's width that a bar fills, in [0, 1]."""

    cells: tuple[str, ...]
    bar: float


@dataclass(frozen=True)
class Table:
    head: tuple[str, ...]
    rows: tuple[Row, ...]


Block = Text | Figures | Table


def contents(inspection: Inspection, image: str) -> tuple[Block, ...]:
    """The blocks, title first. `image` is the name under which the image is shown."""
    blocks: tuple[Block, ...] = (
        Text("title", f"{line(image)} as {line(inspection.model)} sees it"),
        Text("note", _sizes(inspection)),
        Figures(panels(inspection), PANEL),
        Text("heading", "Attention of each head, each with its own scale"),
        Figures(heads(inspection), _HEAD),
    )
    if not inspection.captions:
        return blocks
    scores = Table(("caption", "cosine", "logit", "probability"), tuple(map(_row, inspection.captions)))
    return (*blocks, Text("heading", "Captions"), scores, Text("note", _formula(inspection)))


def line(text: str) -> str:
    """One line of at most _LONGEST characters. Control characters, which could break or hide it, become U+FFFD."""
    flat = " ".join(text.split())
    short = flat if len(flat) <= _LONGEST else flat[: _LONGEST - 1] + "…"
    return "".join("\ufffd" if _is_control(character) else character for character in short)


def _sizes(inspection: Inspection) -> str:
    heads, patches = inspection.attention.shape
    return f"{inspection.width} x {inspection.height} px; seen as {patches} patches, pooled by {heads} heads"


def _row(score: CaptionScore) -> Row:
    probability = f"{score.probability:.4f}" if score.probability >= 0.001 else f"{score.probability:.2g}"
    return Row((line(score.caption), f"{score.cosine:.4f}", f"{score.logit:.2f}", probability), score.probability)


def _formula(inspection: Inspection) -> str:
    bias = f"{'-' if inspection.logit_bias < 0 else '+'} {abs(inspection.logit_bias):.2f}"
    return (
        f"logit = {inspection.logit_scale:.2f} x cosine {bias}; probability = 1 / (1 + exp(-logit)). It is not "
        "calibrated: use it to compare captions, not as a chance"
    )


def _is_control(character: str) -> bool:
    """Whether it is in C0 or C1, is a lone surrogate, or is a mark that reorders the text after it."""
    code = ord(character)
    reorders = 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069
    return code < 0x20 or 0x7F <= code < 0xA0 or 0xD800 <= code < 0xE000 or reorders

"""What an inspection shows, from top to bottom.

`page.py` and `picture.py` draw these blocks, and decide nothing but how each looks. All text is plain: whoever draws it
escapes it.
"""

from dataclasses import dataclass
from typing import Literal

from siglip_core.inspection.measure import CaptionScore, Inspection
from siglip_core.inspection.panels import PANEL, Panel, heads, panels

_HEAD = 160  # width of one head's panel, in pixels
_LONGEST = 1000  # characters of a caption; no text tower reads further


@dataclass(frozen=True)
class Text:
    kind: Literal["title", "heading", "note"]
    text: str


@dataclass(frozen=True)
class Figures:
    """Panels side by side, as many as fit."""

    panels: tuple[Panel, ...]
    width: int
    """of each, in pixels"""


@dataclass(frozen=True)
class Row:
    """The cells of a caption, and how much of its first cell's width a bar fills, in [0, 1]."""

    cells: tuple[str, ...]
    bar: float


@dataclass(frozen=True)
class Table:
    head: tuple[str, ...]
    rows: tuple[Row, ...]


Block = Text | Figures | Table


def contents(inspection: Inspection, image: str) -> tuple[Block, ...]:
    """`image`: the name under which the image is shown. The first block is the title."""
    blocks: tuple[Block, ...] = (
        Text("title", f"{line(image)} as {line(inspection.model)} sees it"),
        Text("note", _sizes(inspection)),
        Figures(panels(inspection), PANEL),
        Text("heading", "Attention of each head, each on a scale of its own"),
        Figures(heads(inspection), _HEAD),
    )
    if not inspection.captions:
        return blocks
    scores = Table(("caption", "cosine", "logit", "probability"), tuple(map(_row, inspection.captions)))
    return (*blocks, Text("heading", "Captions"), scores, Text("note", _formula(inspection)))


def line(text: str) -> str:
    """One line of at most _LONGEST characters; what would break or hide it (control characters) shows as U+FFFD."""
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
        f"logit = {inspection.logit_scale:.2f} x cosine {bias}; probability = 1 / (1 + exp(-logit)), which is not "
        "calibrated: compare captions, do not read it as a chance"
    )


def _is_control(character: str) -> bool:
    """C0, C1, lone surrogates, and the marks that reorder what follows them."""
    code = ord(character)
    reorders = 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069
    return code < 0x20 or 0x7F <= code < 0xA0 or 0xD800 <= code < 0xE000 or reorders

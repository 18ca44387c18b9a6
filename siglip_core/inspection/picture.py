"""Writes an inspection as one PNG: the blocks of `contents.py` below each other, in Pillow's built-in font."""

import math
from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps

from siglip_core.inspection.contents import Block, Figures, Row, Table, Text, contents, line
from siglip_core.inspection.lettering import font, lacks, paragraph
from siglip_core.inspection.measure import Inspection
from siglip_core.inspection.panels import PANEL, Panel, Scale, colourise

_MARGIN, _GAP, _CLOSE = 40, 28, 8
_WIDTH = 3 * PANEL + 2 * _GAP
_NUMBER = 140  # width of a table's number columns; the first column takes the rest
_CAPTION = _WIDTH - 3 * (_NUMBER + _CLOSE)
_INK, _FAINT, _BAR = "#1b1c1e", "#62656b", "#2a78d6"
_LETTERS = {"title": (30, _INK), "heading": (22, _INK), "note": (17, _FAINT)}


def to_png(inspection: Inspection, image: str) -> bytes:
    """The PNG file. `image` is the name under which the picture shows the image.

    A character that the font lacks is drawn as a box, and the last line then says so. The page has no such limit.
    """
    blocks = contents(inspection, image)
    given = [image, inspection.model, *(score.caption for score in inspection.captions)]
    if any(lacks(line(text)) for text in given):
        note = "Boxes stand for characters that this picture's font lacks. The HTML page shows them."
        blocks = (*blocks, Text("note", note))
    file = BytesIO()
    ImageOps.expand(_below([_block(block) for block in blocks], _CLOSE), _MARGIN, "white").save(file, "PNG")
    return file.getvalue()


def _block(block: Block) -> Image.Image:
    match block:
        case Text():
            return paragraph(block.text, *_LETTERS[block.kind], _WIDTH)
        case Figures():
            drawn = [_figure(panel, block.width) for panel in block.panels]
            fit = (_WIDTH + _GAP) // (block.width + _GAP)
            return _below([_beside(drawn[start : start + fit], _GAP) for start in range(0, len(drawn), fit)], _GAP)
        case Table():
            return _below([_cells(block.head, 17, _FAINT), *map(_row, block.rows)], _CLOSE)


def _figure(panel: Panel, width: int) -> Image.Image:
    image = panel.image.copy()
    image.thumbnail((width, width), Image.Resampling.LANCZOS)
    scale = [] if panel.scale is None else [_scale(panel.scale, width)]
    return _below([paragraph(panel.title, 18, _INK, width), image, *scale, paragraph(panel.note, 16, _FAINT, width)], 6)


def _scale(scale: Scale, width: int) -> Image.Image:
    """A bar of the scale's colours, with the lowest and highest value at its ends."""
    low, high = (paragraph(end, 15, _FAINT, math.ceil(font(15).getlength(end))) for end in scale.ends)
    steps = np.linspace(scale.low, scale.high, width - low.width - high.width - 2 * _CLOSE)
    return _beside([low, Image.fromarray(colourise(steps[None], scale).repeat(18, axis=0)), high], _CLOSE)


def _row(row: Row) -> Image.Image:
    bar = Image.new("RGB", (round(row.bar * _CAPTION), 5), _BAR)
    return _below([_cells(row.cells, 20, _INK), bar], 0)


def _cells(cells: Sequence[str], size: int, colour: str) -> Image.Image:
    caption, *numbers = cells
    columns = [paragraph(number, size, colour, _NUMBER, right=True) for number in numbers]
    return _beside([paragraph(caption, size, colour, _CAPTION), *columns], _CLOSE)


def _below(parts: Sequence[Image.Image], gap: int) -> Image.Image:
    size = max(part.width for part in parts), sum(part.height + gap for part in parts)
    block = Image.new("RGB", size, "white")
    y = 0
    for part in parts:
        block.paste(part, (0, y))
        y += part.height + gap
    return block


def _beside(parts: Sequence[Image.Image], gap: int) -> Image.Image:
    size = sum(part.width + gap for part in parts) - gap, max(part.height for part in parts)
    block = Image.new("RGB", size, "white")
    x = 0
    for part in parts:
        block.paste(part, (x, 0))
        x += part.width + gap
    return block

"""An inspection as one PNG, drawn with Pillow and the font inside it: blocks of one width, stacked."""

import math
from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw

from siglip_core.inspection import words
from siglip_core.inspection.lettering import font, lacks, wrap
from siglip_core.inspection.measure import CaptionScore, Inspection
from siglip_core.inspection.panels import PANEL, Panel, Scale, colourise, heads, panels

_MARGIN, _GAP = 40, 28
_WIDTH = 3 * PANEL + 2 * _GAP  # of a block
_HEADS_A_ROW = 8
_INK, _FAINT, _RULE, _BAR = "#1b1c1e", "#62656b", "#dfe1e5", "#2a78d6"
_FIGURES = [_WIDTH - offset for offset in (320, 170, 0)]  # right edges of cosine, logit, probability
_CAPTION_WIDTH = _FIGURES[0] - 140


def to_png(inspection: Inspection, image: str) -> bytes:
    """`image`: the name under which the picture shows the image. A character that the font lacks shows as a box, and
    the last line says so; the page has no such limit.
    """
    title = words.title(inspection, image)
    large, small = panels(inspection), heads(inspection)
    in_row = math.ceil(len(small) / math.ceil(len(small) / _HEADS_A_ROW))
    blocks = [
        _text(title, 30, _INK),
        _text(words.sizes(inspection), 18, _FAINT),
        _space(_GAP),
        _row(large, columns=3, title_size=22),
        _space(_GAP),
        _text(words.HEADS, 22, _INK),
        _space(8),
        *(_row(small[start : start + in_row], max(in_row, 6), 16) for start in range(0, len(small), in_row)),
    ]
    if inspection.captions:
        blocks += [_space(_GAP), _cells(words.CAPTIONS, 17, _FAINT), *map(_caption, inspection.captions)]
        blocks.append(_text(words.formula(inspection), 17, _FAINT))
    if any(lacks(text) for text in (title, *(words.line(score.caption) for score in inspection.captions))):
        blocks.append(
            _text("Boxes are characters that this picture's font lacks; the HTML page shows them.", 17, _FAINT)
        )
    return _stack(blocks)


def _stack(blocks: Sequence[Image.Image]) -> bytes:
    height = sum(block.height for block in blocks)
    picture = Image.new("RGB", (_WIDTH + 2 * _MARGIN, height + 2 * _MARGIN), "white")
    y = _MARGIN
    for block in blocks:
        picture.paste(block, (_MARGIN, y))
        y += block.height
    png = BytesIO()
    picture.save(png, "PNG")
    return png.getvalue()


def _space(height: int) -> Image.Image:
    return Image.new("RGB", (_WIDTH, height), "white")


def _text(text: str, size: int, colour: str, width: int = _WIDTH) -> Image.Image:
    """One paragraph of at most two lines."""
    lines = wrap(text, size, width, most=2)
    line_height = round(1.5 * size)
    block = Image.new("RGB", (width, line_height * len(lines)), "white")
    draw = ImageDraw.Draw(block)
    for index, line in enumerate(lines):
        draw.text((0, index * line_height), line, colour, font(size))
    return block


def _row(drawn: Sequence[Panel], columns: int, title_size: int) -> Image.Image:
    """Panels side by side, each in one of `columns` columns: its title, image, scale and note below one another."""
    width = (_WIDTH + _GAP) // columns - _GAP
    images = [panel.image.resize(_within(panel.image, width), Image.Resampling.LANCZOS) for panel in drawn]
    image_height = max(image.height for image in images)
    parts = [
        (
            _text(panel.title, title_size, _INK, width),
            image,
            _scale(panel.scale, width),
            _text(panel.note, 16, _FAINT, width),
        )
        for panel, image in zip(drawn, images, strict=True)
    ]
    block = _space(
        max(title.height + scale.height + note.height for title, _, scale, note in parts) + image_height + 20
    )
    for index, (title, image, scale, note) in enumerate(parts):
        x = index * (width + _GAP)
        block.paste(title, (x, 0))
        block.paste(image, (x, title.height))
        block.paste(scale, (x, title.height + image_height + 8))
        block.paste(note, (x, title.height + image_height + 8 + scale.height))
    return block


def _within(image: Image.Image, width: int) -> tuple[int, int]:
    """Its size, or the smaller one that fits into a square of `width`."""
    shrink = min(1.0, width / max(image.size))
    return max(1, round(image.width * shrink)), max(1, round(image.height * shrink))


def _scale(scale: Scale | None, width: int) -> Image.Image:
    """A bar of the scale's colours between its ends; nothing for a panel without one."""
    if scale is None:
        return Image.new("RGB", (width, 0), "white")
    block = Image.new("RGB", (width, 24), "white")
    low, high = f"{scale.low:.3g}", f"{scale.high:.3g}"
    left, right = (math.ceil(font(15).getlength(end)) + 8 for end in (low, high))
    draw = ImageDraw.Draw(block)
    draw.text((0, 0), low, _FAINT, font(15))
    draw.text((width, 0), high, _FAINT, font(15), anchor="ra")
    steps = np.linspace(scale.low, scale.high, width - left - right)
    block.paste(Image.fromarray(np.repeat(colourise(steps[None], scale), 12, axis=0)), (left, 3))
    return block


def _caption(score: CaptionScore) -> Image.Image:
    """A row of the table: the caption over a bar of its probability, and its figures."""
    caption, *figures = words.cells(score)
    first, *more = wrap(caption, 20, _CAPTION_WIDTH, most=2) or [""]
    lines = [_cells((first, *figures), 20, _INK), *(_text(line, 20, _INK) for line in more)]
    block = _space(sum(line.height for line in lines) + 22)
    y = 0
    for line in lines:
        block.paste(line, (0, y))
        y += line.height
    draw = ImageDraw.Draw(block)
    if bar := round(score.probability * _CAPTION_WIDTH):
        draw.rectangle([0, y, bar, y + 4], _BAR)
    draw.line([(0, y + 12), (_WIDTH, y + 12)], _RULE)
    return block


def _cells(cells: Sequence[str], size: int, colour: str) -> Image.Image:
    """The first cell at the left, the others up to their right edges."""
    block = _space(round(1.5 * size))
    draw = ImageDraw.Draw(block)
    draw.text((0, 0), cells[0], colour, font(size))
    for cell, edge in zip(cells[1:], _FIGURES, strict=True):
        draw.text((edge, 0), cell, colour, font(size), anchor="ra")
    return block

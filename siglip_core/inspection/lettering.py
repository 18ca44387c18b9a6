"""Draws text for the picture in Pillow's built-in font: wraps lines, and finds characters that the font lacks."""

from bisect import bisect_right
from functools import cache

from PIL import Image, ImageDraw, ImageFont


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    loaded = ImageFont.load_default(size)
    assert isinstance(loaded, ImageFont.FreeTypeFont)  # always, if a size is given
    return loaded


def paragraph(text: str, size: int, colour: str, width: int, right: bool = False) -> Image.Image:
    """At most two lines of text on a white block of this width, aligned left or right."""
    lines = wrap(text, size, width, most=2)
    line_height = round(1.5 * size)
    block = Image.new("RGB", (width, line_height * len(lines)), "white")
    draw = ImageDraw.Draw(block)
    x, anchor = (width, "ra") if right else (0, "la")
    for number, line in enumerate(lines):
        draw.text((x, number * line_height), line, colour, font(size), anchor)
    return block


def wrap(text: str, size: int, width: int, most: int) -> list[str]:
    """At most `most` lines of at most `width` pixels, broken at spaces if possible. A text that is cut ends in "…"."""
    lines: list[str] = []
    while text and len(lines) < most:
        end = _fitting(text, size, width)
        if end < len(text) and len(lines) == most - 1:
            return [*lines, text[: _fitting(text, size, width - font(size).getlength("…"))].rstrip() + "…"]
        if end < len(text) and (space := text.rfind(" ", 1, end + 1)) > 0:
            end = space
        lines.append(text[:end])
        text = text[end:].lstrip()
    return lines


def _fitting(text: str, size: int, width: float) -> int:
    """How many characters fit, at least one. Found by bisection, as a longer text is never narrower."""
    lengths = range(2, len(text) + 1)
    return 1 + bisect_right(lengths, width, key=lambda length: font(size).getlength(text[:length]))


def lacks(text: str) -> bool:
    """Whether the font has no glyph for some character of the text, and draws a box instead."""
    box = bytes(font(20).getmask("\uffff"))  # a code point that is never a character
    return any(bytes(font(20).getmask(character)) == box for character in set(text) if not character.isspace())

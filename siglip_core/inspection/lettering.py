"""Text for the picture: Pillow's own font, lines that fit, and characters that the font lacks."""

from functools import cache

from PIL import ImageFont


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    loaded = ImageFont.load_default(size)
    assert isinstance(loaded, ImageFont.FreeTypeFont)  # as it is whenever a size is asked for
    return loaded


def wrap(text: str, size: int, width: int, most: int) -> list[str]:
    """At most `most` lines of at most `width` pixels, broken at spaces where there are any; the rest ends in "…"."""
    lines: list[str] = []
    while text and len(lines) < most:
        last = len(lines) == most - 1
        end = _fitting(text, size, width)
        if end < len(text) and last:
            lines.append(text[: _fitting(text, size, width - int(font(size).getlength("…")))].rstrip() + "…")
            break
        if end < len(text) and (space := text.rfind(" ", 1, end + 1)) > 0:
            end = space
        lines.append(text[:end])
        text = text[end:].lstrip()
    return lines


def _fitting(text: str, size: int, width: int) -> int:
    """How many characters fit, at least one. Halving is enough: a longer text is not narrower."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if font(size).getlength(text[:middle]) <= width else (low, middle - 1)
    return low


def lacks(text: str) -> bool:
    """Whether the font has no glyph for some character of it, and draws its box."""
    box = bytes(font(20).getmask("\uffff"))  # a code point that is never a character
    return any(bytes(font(20).getmask(character)) == box for character in set(text) if not character.isspace())

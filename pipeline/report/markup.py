"""HTML and SVG elements. Text becomes markup here and nowhere else, so none of it can be taken for markup."""

from __future__ import annotations

import re
from collections.abc import Iterable

from markupsafe import Markup, escape

# Controls that a page cannot show or that reorder what follows them; halves of surrogates, which UTF-8 cannot hold.
_INVISIBLE = re.compile(
    "[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\U000e0000-\U000e0fff]"
)
_VOID = frozenset({"img", "meta", "line", "path", "rect", "circle"})

Content = str | Markup | None


def text(content: str) -> Markup:
    """Any text as markup: what is no markup is escaped, and what would be invisible is named, as `⟨U+202E⟩`."""
    if isinstance(content, Markup):
        return content
    return escape(_INVISIBLE.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", content))


def element(name: str, /, *content: Content, **attributes: str | float | None) -> Markup:
    """An element. Attributes are named as in HTML, with `_` for `-` and after a word of Python's; None is left out.

    Content that is a plain string is text; None is nothing.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(_plain(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{given}>") if name in ("img", "meta") else Markup(f"<{name}{given}/>")
    return Markup(f"<{name}{given}>{joined(content)}</{name}>")


def joined(content: Iterable[Content], between: str = "") -> Markup:
    return text(between).join(text(part) for part in content if part is not None)


def shortened(content: str, most: int) -> str:
    """The start of a text that is longer than `most` characters, and how long it is."""
    if len(content) <= most:
        return content
    return f"{content[:most].rstrip()}… ({len(content):,} characters)"


def _plain(value: str | float) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str.__str__(str(value))

"""HTML and SVG elements. All text is escaped here, and only here, so no text can act as markup."""

from __future__ import annotations

import re
from collections.abc import Iterable

from markupsafe import Markup, escape

# Control characters that are invisible or reorder the text after them, and halves of surrogates, which UTF-8 forbids.
_INVISIBLE = re.compile(
    "[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\U000e0000-\U000e0fff]"
)
_VOID = frozenset({"img", "input", "meta", "line", "path", "rect", "circle"})

Content = str | Markup | None


def text(content: str) -> Markup:
    """Any text as markup. Plain text is escaped, and invisible characters are named, e.g. `⟨U+202E⟩`."""
    if isinstance(content, Markup):
        return content
    return escape(_INVISIBLE.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", content))


def element(name: str, /, *content: Content, **attributes: str | float | None) -> Markup:
    """An element. Attributes have HTML's names, with `_` for `-`, and a final `_` after a Python keyword.

    Attributes and content that are None are left out. A plain string as content is text.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(_plain(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{given}>") if name in ("img", "input", "meta") else Markup(f"<{name}{given}/>")
    return Markup(f"<{name}{given}>{joined(content)}</{name}>")


def joined(content: Iterable[Content], between: str = "") -> Markup:
    return text(between).join(text(part) for part in content if part is not None)


def shortened(content: str, most: int) -> str:
    """The text; if it is longer than `most` characters, only its start and its length."""
    if len(content) <= most:
        return content
    return f"{content[:most].rstrip()}… ({len(content):,} characters)"


def _plain(value: str | float) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str.__str__(str(value))

"""HTML tables and lists of facts."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from pipeline.report.markup import Content, element


def facts(pairs: Sequence[tuple[str, Content]]) -> Markup:
    return element(
        "dl", *(part for name, what in pairs for part in (element("dt", name), element("dd", what))), class_="facts"
    )


def table(heads: Sequence[str], rows: Sequence[Sequence[Content]], texts: int = 1) -> Markup:
    """A table. The first `texts` columns are text, the others are numbers."""

    def row(kind: str, cells: Sequence[Content]) -> Markup:
        return element(
            "tr",
            *(element(kind, cell, class_="left" if place < texts else None) for place, cell in enumerate(cells)),
        )

    body = element("tbody", *(row("td", cells) for cells in rows))
    return element("div", element("table", element("thead", row("th", heads)), body), class_="scroll")

"""What deduplication has found."""

from __future__ import annotations

from markupsafe import Markup

from pipeline.report import wording
from pipeline.report.contents import Contents
from pipeline.report.markup import element, joined
from pipeline.report.sections.pairs import figure
from pipeline.report.sections.table import table


def section(contents: Contents) -> Markup:
    found = contents.duplicates
    if found is None:
        return element("p", "Not looked for: siglane dedup marks them.", class_="soft")
    total = found.by_method.total()
    if not total:
        return element("p", "Looked for, and none found.")
    stay = wording.count(found.groups, "row that stays", "rows that stay")
    told = wording.count(total, "row is a duplicate", "rows are duplicates")
    told += f", {wording.count(total - found.elsewhere)} of {stay}"
    told += f" and {wording.count(found.elsewhere)} of rows of another table." if found.elsewhere else "."
    methods = [[method, wording.count(rows)] for method, rows in sorted(found.by_method.items())]
    parts = [element("p", told), element("div", table(["method", "rows"], methods), class_="columns")]
    for group in found.largest:
        parts.append(element("h3", f"One that stays, and {wording.count(group.rows, 'duplicate')} of it"))
        shown = [figure(contents, address) for address in group.addresses]
        parts.append(element("ul", *shown, class_="pairs-grid"))
    return joined(parts)

"""The results of deduplication."""

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
        return element("p", "Not checked; run siglane dedup to mark duplicates.", class_="soft")
    total = found.by_method.total()
    if not total:
        return element("p", "Checked; no duplicates found.")
    kept = wording.count(found.groups, "kept row")
    words = wording.count(total, "row is a duplicate", "rows are duplicates")
    words += f": {wording.count(total - found.elsewhere)} of {kept} in this table"
    words += f", and {wording.count(found.elsewhere)} of rows in another table." if found.elsewhere else "."
    methods = [[method, wording.count(rows)] for method, rows in sorted(found.by_method.items())]
    parts = [element("p", words), element("div", table(["method", "rows"], methods), class_="columns")]
    for group in found.largest:
        parts.append(element("h3", f"A kept row and its {wording.count(group.rows, 'duplicate')}"))
        shown = [figure(contents, address) for address in group.addresses]
        parts.append(element("ul", *shown, class_="pairs-grid"))
    return joined(parts)

"""The page's title, and its main figures."""

from __future__ import annotations

from markupsafe import Markup

from pipeline import schema
from pipeline.report import wording
from pipeline.report.contents import Contents
from pipeline.report.markup import element, joined


def title(contents: Contents) -> Markup:
    table = contents.table
    of = f"{table.uri}, version {table.version}, embedded by {table.identity.model}"
    return joined([element("h1", table.uri.name), element("p", of, class_="soft")])


def figures(contents: Contents) -> Markup:
    embedded, rejected = contents.count(schema.SUCCESS), contents.count(schema.REJECTED)
    read = embedded + rejected
    chosen = contents.chosen
    shown = [
        _figure("embedded", wording.count(embedded), f"of {wording.count(read)} read"),
        _figure("rejected", wording.count(rejected), wording.share(rejected / read) if read else None),
    ]
    if chosen.scored is None:
        of, what = chosen.rows, "the rule"
    else:
        of, what = chosen.scored, "the cut"
        shown.append(_figure("scored", wording.count(of), f"by {chosen.by}"))
    if chosen.why_not is None:
        shown.append(
            _figure(f"kept by {what}", wording.count(chosen.kept), wording.share(chosen.kept / of) if of else None)
        )
    shown.append(_figure("mismatched among kept", *_mismatched(contents)))
    if contents.duplicates is not None:
        shown.append(_figure("duplicates", wording.count(contents.duplicates.by_method.total()), "marked"))
    return element("dl", *shown, class_="figures")


def _mismatched(contents: Contents) -> tuple[str, str]:
    """The share, and what it is."""
    at, certified = contents.at_cut, contents.chosen.certified
    if certified is not None:
        return f"at most {wording.share(certified.fraction)}", "certified by labels"
    if at is None:
        return "no estimate", "see below"
    upper = wording.share(at.mismatched["any"])
    if at.assumes == "any" or (at.assumes == "random" and contents.evidence.contradicted is not None):
        return f"at most {upper}", "if wrong captions are of random and similar images"
    of = f"if wrong captions are of {at.assumes} images"
    return wording.share(at.mismatch_fraction), f"estimated, {of}; at most {upper} if of both"


def _figure(name: str, value: str, note: str | None) -> Markup:
    return element("div", element("dt", name), element("dd", value, element("small", note) if note else None))

"""The page around the sections. It has no script and fetches nothing, and its security policy forbids both."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import resources

from markupsafe import Markup

from pipeline import __version__
from pipeline.report.contents import Contents
from pipeline.report.markup import element, joined, text
from pipeline.report.sections import counts, cut, distributions, duplicates, overview, pairs, runs

# All text from the table is escaped. The policy is a second barrier: the browser must not fetch or run anything.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_SECTIONS = (
    ("counts", "Rows", counts.section),
    ("cut", "The cut", cut.section),
    ("distributions", "Distributions", distributions.section),
    ("pairs", "Pairs to look at", pairs.section),
    ("duplicates", "Duplicates", duplicates.section),
    ("runs", "Runs", runs.section),
)


def to_html(contents: Contents) -> str:
    """The page. Any content of a table is shown as text, so none can raise an error."""
    title = f"{contents.table.uri.name}: report"
    head = [
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
        element("style", Markup(_style())),
    ]
    links = [element("a", heading, href=f"#{name}") for name, heading, _ in _SECTIONS]
    sections = [
        element("section", element("h2", heading), section(contents), id=name) for name, heading, section in _SECTIONS
    ]
    now = datetime.now(UTC).isoformat(sep=" ", timespec="minutes").removesuffix("+00:00")
    body = [
        element("header", overview.title(contents), overview.figures(contents), element("nav", *links)),
        element("main", *sections),
        element("footer", f"siglane {__version__}, {now} UTC, from version {contents.table.version} of the table."),
    ]
    page = element("html", element("head", *head), element("body", *body), lang="en")
    return str(joined([Markup("<!doctype html>"), page, text("\n")]))


def _style() -> str:
    return resources.files(__package__).joinpath("style.css").read_text("utf-8")

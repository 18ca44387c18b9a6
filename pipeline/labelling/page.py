"""The label page: every pair is in it, one is shown at a time. It works from disk and fetches nothing.

All text of the table is escaped by `markup`. The page's own script is the only one that its security policy lets run.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from importlib import resources

from markupsafe import Markup

from pipeline import __version__, schema
from pipeline.filtering.certified.labels import COLUMNS, RIGHT, UNSURE, WRONG
from pipeline.labelling.draw import Drawn, DrawnPair
from pipeline.report.markup import element, joined, text
from pipeline.report.thumbnails import Thumbnail

_BUTTONS = ((RIGHT, "Right", "R"), (WRONG, "Wrong", "W"), (UNSURE, "Unsure", "U"))


def to_html(drawn: Drawn, thumbnails: Mapping[int, Thumbnail]) -> str:
    """The page. `thumbnails`: by the address of the pair's row."""
    script, style = _own("page.js"), _own("page.css")
    head = [
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(script)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"Label {len(drawn.pairs)} pairs of {drawn.record.table.rpartition('/')[2]}"),
        element("style", Markup(style)),
    ]
    articles = [_pair(number, pair, thumbnails[pair.pair.address]) for number, pair in enumerate(drawn.pairs, 1)]
    body = [
        element("header", _progress(drawn), element("p", "", id="status", role="status")),
        element("main", *articles, _done(drawn)),
        element("footer", _controls(), _help(drawn)),
        element("script", Markup(script)),
    ]
    columns = ",".join(COLUMNS)
    page = element("body", *body, data_draw=drawn.record.draw, data_columns=columns, data_all=_facts(drawn))
    return str(
        joined([Markup("<!doctype html>"), element("html", element("head", *head), page, lang="en"), text("\n")])
    )


def _own(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _policy(script: str) -> str:
    digest = b64encode(sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'; "
        "form-action 'none'"
    )


def _facts(drawn: Drawn) -> str:
    """The column `draw` of every row of labels."""
    return drawn.record.model_dump_json()


def _pair(number: int, drawn: DrawnPair, thumbnail: Thumbnail) -> Markup:
    caption = drawn.pair.row[schema.CAPTION]
    words = (
        element("p", caption, class_="caption", dir="auto", tabindex="0")
        if caption and caption.strip()
        else element("p", "no caption" if caption is None else "an empty caption", class_="caption soft")
    )
    return element(
        "article",
        _picture(thumbnail),
        words,
        id=f"pair-{number}",
        hidden="",
        data_uid=drawn.uid,
        data_values=drawn.values,
    )


def _picture(thumbnail: Thumbnail) -> Markup:
    if thumbnail.jpeg is None:
        words = f"The image cannot be shown: {thumbnail.why_not}"
        return element("div", element("p", words), class_="picture none")
    source = f"data:image/jpeg;base64,{b64encode(thumbnail.jpeg).decode()}"
    return element("div", element("img", src=source, alt="the image of this pair"), class_="picture")


def _progress(drawn: Drawn) -> Markup:
    count = len(drawn.pairs)
    bar = element("progress", max=str(count), value="0", id="bar", aria_label="labelled pairs")
    return joined([element("p", "Does the caption describe the image?", class_="question"), bar])


def _controls() -> Markup:
    of_labels = [_button(words, key, data_label=value) for value, words, key in _BUTTONS]
    others = [
        _button("Back", "←", id="back"),
        _button("Next", "→", id="next"),
        _button("Undo", "Z", id="undo"),
        _button("Save labels.csv", "S", id="save"),
        _button("Load labels.csv", "L", id="load"),
    ]
    return joined(
        [
            element("div", *of_labels, class_="labels"),
            element("div", *others, class_="others"),
            element(
                "input", type="file", accept=".csv,text/csv", id="file", hidden="", aria_label="a saved labels.csv"
            ),
        ]
    )


def _button(words: str, key: str, **attributes: str) -> Markup:
    return element("button", f"{words} ", element("kbd", key), type="button", **attributes)


def _done(drawn: Drawn) -> Markup:
    return element(
        "section",
        element("h1", "All pairs are labelled"),
        element("p", "Save the labels (S), then cut with them:"),
        element("pre", drawn.command),
        id="done",
        hidden="",
    )


def _help(drawn: Drawn) -> Markup:
    record = drawn.record
    return element(
        "details",
        element("summary", "How to label"),
        element(
            "p",
            "Right: the caption fits this image. Wrong: it belongs to another image, says nothing about this one, or "
            "says something that is not so. Unsure: you cannot tell; it counts as wrong unless you ask the filter "
            "otherwise.",
        ),
        element(
            "p",
            "The pairs are in a random order. Label all of them: a certificate needs every drawn pair. Labels are kept "
            "in this browser. Save them to go on in another one.",
        ),
        element(
            "p",
            f"Draw {record.draw} of table {record.table}, version {record.table_version}, by {record.by}, seed "
            f"{record.seed}; siglane {__version__}.",
            class_="soft",
        ),
    )

"""The page of a search: every hit with its picture, its scores and its captions. It fetches nothing."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pipeline import schema
from pipeline.errors import UsageError
from pipeline.report import thumbnails
from pipeline.report.markup import element, joined, shortened, text
from pipeline.report.pairs import Pair
from pipeline.report.thumbnails import Thumbnail
from pipeline.search import Hit, Hits
from pipeline.sources import SourceOptions
from pipeline.table import Table

_OF_ORIGINALS = (schema.SOURCE_ROW, schema.IMAGE_SHA256)
_LONGEST = 300
"""characters of a caption that are shown"""
_STYLE = """
:root { color-scheme: light dark; font: 16px/1.4 system-ui, sans-serif; }
body { margin: 1rem auto; max-width: 80rem; padding: 0 1rem; }
ol { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); padding: 0; }
li { list-style: none; border: 1px solid gray; border-radius: .5rem; padding: .75rem; }
img { display: block; margin: 0 auto .5rem; max-width: 100%; }
p { margin: .25rem 0; overflow-wrap: anywhere; }
.soft { font-size: .875rem; opacity: .75; }
"""


@dataclass(frozen=True)
class Answer:
    """A query and its hits, which have the columns that are `needed`."""

    query: str
    hits: Hits


def needed(searched: Table, has_input: bool) -> list[str]:
    """Columns that the hits need, so that their pictures can be shown.

    Raises:
        UsageError: there is no input to read images from, and the table stores no thumbnails.
    """
    stored = thumbnails.stored_columns(searched)
    if not (stored or has_input):
        raise UsageError(
            f"--open shows images, so it needs the --input that table {searched.uri} was made from: the table stores "
            "no thumbnails"
        )
    return [*_OF_ORIGINALS, *stored]


def read_pictures(options: SourceOptions | None, answers: Sequence[Answer]) -> list[list[Thumbnail]]:
    """The picture of each hit of each answer: as the table stores it, else from the input.

    Raises:
        InputError: the input cannot be read, or holds none of the hits.
    """
    hits = {hit.uid: hit for answer in answers for hit in answer.hits}
    pairs = [Pair(number, _row(hit)) for number, hit in enumerate(hits.values())]
    read = thumbnails.read(options, pairs) if pairs else {}
    of_hit = {uid: read[number] for number, uid in enumerate(hits)}
    return [[of_hit[hit.uid] for hit in answer.hits] for answer in answers]


def to_html(title: str, answers: Sequence[Answer], pictures: Sequence[Sequence[Thumbnail]]) -> str:
    """The page; `pictures`: as `read_pictures` gives them."""
    head = [
        element("meta", charset="utf-8"),
        element(
            "meta",
            http_equiv="Content-Security-Policy",
            content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
        ),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Markup(_STYLE)),
    ]
    sections = [_section(answer, shown) for answer, shown in zip(answers, pictures, strict=True)]
    body = element("body", element("h1", title), element("main", *sections))
    return str(
        joined([Markup("<!doctype html>"), element("html", element("head", *head), body, lang="en"), text("\n")])
    )


def _row(hit: Hit) -> dict[str, object]:
    return {schema.UID: hit.uid, schema.SOURCE: hit.source, **hit.columns}


def _section(answer: Answer, pictures: Sequence[Thumbnail]) -> Markup:
    if not answer.hits:
        return element("section", element("h2", answer.query), element("p", "nothing found"))
    cards = [_card(hit, picture) for hit, picture in zip(answer.hits, pictures, strict=True)]
    return element("section", element("h2", answer.query), element("ol", *cards))


def _card(hit: Hit, picture: Thumbnail) -> Markup:
    probability = "" if hit.probability is None else f", probability {hit.probability:.4f}"
    captions = hit.captions or ((hit.caption,) if hit.caption is not None else ())
    not_shown = (*_OF_ORIGINALS, schema.THUMBNAIL)
    further = [f"{name}: {value}" for name, value in hit.columns.items() if name not in not_shown]
    return element(
        "li",
        _image(hit, picture),
        element("p", f"cosine {hit.cosine:.4f}{probability}"),
        *(element("p", shortened(caption, _LONGEST), dir="auto") for caption in captions),
        *(element("p", shortened(words, _LONGEST), class_="soft") for words in further),
        element("p", f"{hit.source} {hit.key}", class_="soft"),
        element("p", hit.uid, class_="soft"),
    )


def _image(hit: Hit, picture: Thumbnail) -> Markup:
    if picture.jpeg is None:
        return element("p", f"The image cannot be shown: {picture.why_not}", class_="soft")
    source = f"data:image/jpeg;base64,{b64encode(picture.jpeg).decode()}"
    return element("img", src=source, alt=shortened(hit.caption or "image without caption", _LONGEST))

"""Grids of pairs with their pictures, captions and scores."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from typing import Any

from markupsafe import Markup

from pipeline import schema
from pipeline.report import wording
from pipeline.report.contents import Contents
from pipeline.report.markup import element, joined, shortened

MOST_OF_A_CAPTION = 180


def section(contents: Contents) -> Markup:
    shown, chosen = contents.examples, contents.chosen
    parts: list[Markup | None] = [_about_images(contents)]
    if chosen.only is None:
        words = "Distance to the rule: the share of all pairs scored between the pair and the cut that decides."
        parts += [
            element("p", words, class_="soft"),
            _grid(contents, "Just kept", "kept, nearest to being dropped first", shown.above),
            _grid(contents, "Just dropped", "dropped, nearest to being kept first", shown.below),
        ]
    elif chosen.why_not is None:
        parts += [
            _grid(contents, "Just above the cut", "kept, nearest to the cut first", shown.above),
            _grid(contents, "Just below the cut", "dropped, nearest to the cut first", shown.below),
        ]
    else:
        parts.append(element("p", "There is no cut, so there are no pairs near it.", class_="soft"))
    parts += [
        _grid(contents, "Best", f"highest {chosen.by} first", shown.best),
        _grid(contents, "Worst", f"lowest {chosen.by} first", shown.worst),
    ]
    return joined(parts)


def figure(contents: Contents, address: int) -> Markup:
    row = contents.pairs[address].row
    caption = row[schema.CAPTION]
    words = [
        element("p", "no caption" if caption is None else "an empty caption", class_="caption soft")
        if not (caption and caption.strip())
        else element("p", shortened(caption, MOST_OF_A_CAPTION), class_="caption", dir="auto"),
        *(element("span", _score(by, row[by]), class_="score") for by in contents.chosen.columns),
        element("span", row[schema.UID], class_="uid"),
    ]
    return element("li", _picture(contents, address), element("div", *words, class_="words"), class_="pair")


def _score(by: str, score: float | None) -> str:
    return f"no {by}" if score is None else f"{by} {wording.score(score)}"


def _about_images(contents: Contents) -> Markup | None:
    if contents.thumbnails is not None:
        return None
    words = "The table contains no images. To show them, give siglane report the --input that the table was made from."
    return element("p", words, class_="soft")


def _grid(contents: Contents, heading: str, what: str, addresses: Iterable[Any]) -> Markup:
    pairs = [figure(contents, int(address)) for address in addresses]
    shown = element("ul", *pairs, class_="pairs-grid") if pairs else element("p", "No such pairs.", class_="soft")
    return joined([element("h3", heading), element("p", what, class_="soft"), shown])


def _picture(contents: Contents, address: int) -> Markup | None:
    if contents.thumbnails is None:
        return None
    found = contents.thumbnails[address]
    if found.jpeg is None:
        return element("div", element("span", shortened(found.why_not or "", 160)), class_="picture")
    source = f"data:image/jpeg;base64,{b64encode(found.jpeg).decode()}"
    # no alt text: the caption beside the picture describes it
    return element("div", element("img", src=source, alt=""), class_="picture")

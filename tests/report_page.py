"""Pages of `siglane report`, for tests of what they say."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from jobs import report
from tests.tables import write_table
from tests.vectors import simulated


class Page(HTMLParser):
    """A page as a browser would take it: elements with their attributes, and the text between."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.html = file.read_text("utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._words: list[str] = []
        self.feed(self.html)
        self.close()
        self.text = " ".join(" ".join(self._words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self._words.append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)

    def assert_needs_nothing_else(self) -> None:
        assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in self.elements}
        for tag, attributes in self.elements:
            assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
            for name in ("src", "href", "xlink:href", "srcset", "action"):
                assert (attributes.get(name) or "#").startswith(("#", "data:image/jpeg;base64,")), (tag, attributes)
        (policy,) = (attributes["content"] for _, attributes in self.elements if "http-equiv" in attributes)
        assert policy is not None
        assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")


def noisy(path: Path, count: int = 2000, **more: Any) -> Path:
    pairs, _ = simulated(count, 0.3, seed=1)
    return write_table(path, pairs.image_vectors, pairs.text_vectors, **more)


def page_of(table: Path, capfd: pytest.CaptureFixture[str], *options: object) -> tuple[Page, dict[str, Any]]:
    output = table.with_suffix(".html")
    run = ["--table", str(table), "--output", str(output), "--json", *map(str, options)]
    capfd.readouterr()
    assert report.main(run) == 0, capfd.readouterr().err
    page = Page(output)
    page.assert_needs_nothing_else()
    return page, json.loads(capfd.readouterr().out)

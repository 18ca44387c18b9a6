"""The page of `siglane report` in a real browser, Chromium, without a window."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Playwright, sync_playwright

from jobs import filter, report  # noqa: A004
from pipeline import schema
from tests.jobs.test_report import HOSTILE, noisy
from tests.samples import jpeg, write_parquet
from tests.tables import SOURCES, places

PAIRS = 1000
RULE = """
all:
  - {by: cosine, top_fraction: 0.7}
  - any: [{by: cosine, min: 0.5}, {by: source_row, max: 350}]
  - {weighted_sum: {cosine: 0.7, source_row: 0.3}, min: 0.2}
"""
CHROMIUM = shutil.which("chromium")
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here; `make test-services` installs it")


@pytest.fixture(scope="module", params=["the estimated cut", "a rule"])
def html(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A page of noisy pairs with pictures, one of which is none, and captions that try to be more than text."""
    folder = tmp_path_factory.mktemp("report")
    captions = [f"{HOSTILE[row % 5]} {row}" if row % 50 else HOSTILE[5] for row in range(PAIRS)]
    images = [jpeg(row, (60, 40)) for row in range(PAIRS - 1)] + [b"none"]
    for source in SOURCES:  # as the table has them
        rows = [row for row, (path, _) in enumerate(places(PAIRS)) if path == source]
        write_parquet(folder / "in" / source, [images[row] for row in rows], [captions[row] for row in rows])
    digests = [hashlib.sha256(image).hexdigest() for image in images]
    table = noisy(folder / "t", PAIRS, **{schema.CAPTION: captions, schema.IMAGE_SHA256: digests})
    run = ["--table", str(table), "--output", str(folder / "page.html"), "--input", str(folder / "in")]
    if request.param == "a rule":
        (folder / "rule.yaml").write_text(RULE)
        kept = ["--rule", str(folder / "rule.yaml"), "--output", str(folder / "kept")]
        assert filter.main(["--table", str(table), *kept]) == 0
        run += ["--threshold-from", str(folder / "kept.siglane" / "manifest.json")]
    assert report.main(run) == 0
    return folder / "page.html"


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


class Looked:
    """What a browser met while it showed a page."""

    def __init__(self, page: Page) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: (self.complaints.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: self.requests.append(request.url))


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_in_a_browser(html: Path, playwright: Playwright, tmp_path: Path, scheme: str, width: int) -> None:
    browser = playwright.chromium.launch_persistent_context(
        tmp_path / "profile",
        executable_path=CHROMIUM,
        headless=True,
        args=QUIET,
        color_scheme="dark" if scheme == "dark" else "light",
        viewport={"width": width, "height": 900},
    )
    page = browser.new_page()
    looked = Looked(page)
    page.goto(html.as_uri(), wait_until="networkidle")
    page.screenshot(path=html.parent / f"{scheme}-{width}.png", full_page=True)  # to be looked at by a person
    assert looked.complaints == []
    assert [url for url in looked.requests if not url.startswith("data:image/jpeg;")] == [html.as_uri()]

    words = page.inner_text("main")
    for caption in HOSTILE[:3]:
        assert caption in words
    assert page.locator("script").count() == 0
    assert ("Just dropped" if (html.parent / "kept").exists() else "Just below the cut") in words
    assert page.evaluate("[...document.images].length") > 40
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 21, 27)"
    assert dark == (scheme == "dark")
    browser.close()

"""The page of `siglane label` in a real browser, Chromium: pairs labelled by keys alone, saved, resumed and used."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, Playwright, expect, sync_playwright

from jobs import filter, label  # noqa: A004
from pipeline import schema
from tests.jobs.test_report import HOSTILE
from tests.samples import jpeg, write_parquet
from tests.services.test_report_page import QUIET, Looked
from tests.tables import SOURCES, places, uids, write_table
from tests.vectors import simulated

PAIRS, COUNT = 1000, 200
RIGHT_TO_LEFT = "כלב רץ על החוף"
CHROMIUM = shutil.which("chromium")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here; `make test-services` installs it")


class Draw:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        pairs, wrong = simulated(PAIRS, 0.3, seed=1)
        captions = [RIGHT_TO_LEFT if row % 7 == 0 else f"{HOSTILE[row % 8]} {row}" for row in range(PAIRS)]
        images = [b"none" if row % 50 == 0 else jpeg(row, (60, 40)) for row in range(PAIRS)]
        for source in SOURCES:
            rows = [row for row, (path, _) in enumerate(places(PAIRS)) if path == source]
            write_parquet(folder / "in" / source, [images[row] for row in rows], [captions[row] for row in rows])
        more = {schema.CAPTION: captions, schema.IMAGE_SHA256: [None] * PAIRS}
        self.table = write_table(folder / "t", pairs.image_vectors, pairs.text_vectors, **more)
        self.is_wrong = dict(zip(uids(PAIRS), wrong.tolist(), strict=True))
        run = ["--table", str(self.table), "--output", str(folder / "draw"), "--input", str(folder / "in")]
        assert label.main([*run, "--count", str(COUNT)]) == 0
        self.page = folder / "draw" / "label.html"


@pytest.fixture(scope="module")
def draw(tmp_path_factory: pytest.TempPathFactory) -> Draw:
    return Draw(tmp_path_factory.mktemp("label"))


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


def browser(playwright: Playwright, profile: Path, scheme: str = "light", width: int = 1000) -> BrowserContext:
    return playwright.chromium.launch_persistent_context(
        profile,
        executable_path=CHROMIUM,
        headless=True,
        args=QUIET,
        color_scheme="dark" if scheme == "dark" else "light",
        viewport={"width": width, "height": 900},
        accept_downloads=True,
    )


def shown(page: Page) -> str:
    return str(page.locator("article:visible").get_attribute("data-uid"))


def label_by_keys(page: Page, draw: Draw, until: int) -> None:
    for done in range(until):
        if f"{done} of {COUNT} labelled" in page.inner_text("#status"):
            page.keyboard.press("w" if draw.is_wrong[shown(page)] else "r")


def saved(page: Page, file: Path) -> list[str]:
    with page.expect_download() as started:
        page.keyboard.press("s")
    assert started.value.suggested_filename == "labels.csv"
    started.value.save_as(file)
    return file.read_text("utf-8").splitlines()


def load(page: Page, file: Path) -> None:
    """Gives the page a file, as its dialog would; the dialog itself belongs to the browser and is only asked for."""
    page.evaluate(
        """() => { window.asked = false; byId("status").textContent = "";
        byId("file").addEventListener("click", (event) => { window.asked = true; event.preventDefault(); }) }"""
    )
    page.keyboard.press("l")
    assert page.evaluate("window.asked")
    page.set_input_files("#file", file)
    expect(page.locator("#status")).not_to_be_empty()


def test_200_pairs_are_labelled_by_keys_saved_resumed_and_used(
    draw: Draw, playwright: Playwright, tmp_path: Path
) -> None:
    first = browser(playwright, tmp_path / "first")
    page = first.new_page()
    looked = Looked(page)
    page.goto(draw.page.as_uri())
    label_by_keys(page, draw, 90)
    assert f"90 of {COUNT} labelled" in page.inner_text("#status")
    at = shown(page)

    page.reload()
    assert (shown(page), f"90 of {COUNT} labelled" in page.inner_text("#status")) == (at, True)
    assert len(saved(page, tmp_path / "half.csv")) == 91
    assert looked.complaints == []
    assert {url for url in looked.requests if not url.startswith(("data:image/jpeg;", "blob:"))} == {draw.page.as_uri()}
    first.close()

    elsewhere = browser(playwright, tmp_path / "elsewhere")
    page = elsewhere.new_page()
    page.goto(draw.page.as_uri())
    assert f"0 of {COUNT} labelled" in page.inner_text("#status")
    load(page, tmp_path / "half.csv")
    assert "Loaded 90 labels" in page.inner_text("#status")
    label_by_keys(page, draw, COUNT)
    assert "All pairs are labelled" in page.inner_text("main")
    assert len(saved(page, tmp_path / "labels.csv")) == COUNT + 1
    elsewhere.close()

    run = ["--table", str(draw.table), "--output", str(tmp_path / "kept"), "--max-mismatch-fraction", "0.05"]
    assert filter.main([*run, "--labels", str(tmp_path / "half.csv")]) == 2
    assert filter.main([*run, "--labels", str(tmp_path / "labels.csv")]) == 0


def test_a_label_is_changed_and_undone_by_keys(draw: Draw, playwright: Playwright, tmp_path: Path) -> None:
    running = browser(playwright, tmp_path / "profile")
    page = running.new_page()
    page.goto(draw.page.as_uri())
    first = shown(page)
    page.keyboard.press("r")
    second = shown(page)
    page.keyboard.press("u")
    assert "2 of 200 labelled: 1 right, 0 wrong, 1 unsure" in page.inner_text("#status")
    page.keyboard.press("z")
    assert (shown(page), "1 of 200 labelled" in page.inner_text("#status")) == (second, True)
    page.keyboard.press("ArrowLeft")
    assert shown(page) == first
    assert page.locator("[data-label=right]").get_attribute("aria-pressed") == "true"
    page.keyboard.press("w")
    assert "1 of 200 labelled: 0 right, 1 wrong, 0 unsure" in page.inner_text("#status")
    page.locator("[data-label=unsure]").focus()  # a button by the keyboard
    page.keyboard.press("Enter")
    assert "2 of 200 labelled: 0 right, 1 wrong, 1 unsure" in page.inner_text("#status")
    running.close()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("uid,value\n", "it has no columns uid and label"),
        ("uid,label\n{uid},maybe\n", "row 2: the label is none of right, wrong, unsure"),
        ("uid,label\n{uid},right\n{uid},wrong\n", "row 3: this uid has another label above"),
        ('uid,label,draw\n{uid},right,"{{""draw"":""other""}}"\n', "row 2: it is of another draw"),
    ],
)
def test_a_file_of_something_else_changes_nothing(
    draw: Draw, playwright: Playwright, tmp_path: Path, text: str, said: str
) -> None:
    running = browser(playwright, tmp_path / "profile")
    page = running.new_page()
    page.goto(draw.page.as_uri())
    (tmp_path / "other.csv").write_text(text.format(uid=shown(page)), "utf-8")
    load(page, tmp_path / "other.csv")
    assert said in page.inner_text("#status")
    assert page.evaluate("Object.keys(labels).length") == 0
    (tmp_path / "sheet.csv").write_bytes(f"\ufeffuid;label\r\n{shown(page)};Right\r\n".encode())
    load(page, tmp_path / "sheet.csv")
    assert "1 of 200 labelled: 1 right" in page.inner_text("#status")
    running.close()


@pytest.mark.parametrize("width", [1000, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_pair_can_be_read(draw: Draw, playwright: Playwright, tmp_path: Path, scheme: str, width: int) -> None:
    running = browser(playwright, tmp_path / "profile", scheme, width)
    page = running.new_page()
    looked = Looked(page)
    page.goto(draw.page.as_uri())
    page.screenshot(path=draw.folder / f"{scheme}-{width}.png")  # to be looked at by a person
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 21, 27)"
    assert dark == (scheme == "dark")
    captions = page.locator("article .caption").all_text_contents()
    assert any(HOSTILE[0] in caption for caption in captions)
    assert page.evaluate("document.querySelectorAll('article script, article style, article .caption *').length") == 0
    number = captions.index(RIGHT_TO_LEFT)
    page.evaluate(f"show({number})")
    assert (
        page.evaluate("getComputedStyle(document.querySelector('article:not([hidden]) .caption')).direction") == "rtl"
    )
    long = next(place for place, caption in enumerate(captions) if caption.startswith("xxx"))
    page.evaluate(f"show({long})")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator("[data-label=right]").is_visible()
    missing = page.locator("article .none").all_text_contents()
    assert missing
    assert all(words.startswith("The image cannot be shown: decode") for words in missing)
    assert looked.complaints == []
    running.close()

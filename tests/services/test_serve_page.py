"""The page of `siglane serve` in a real browser, Chromium: searches, cuts, labels, the map, and what fails."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from tests.jobs.test_report import HOSTILE
from tests.processes import Siglane
from tests.samples import jpeg, write_parquet
from tests.services.test_report_page import QUIET, Looked
from tests.serving import Serving, serving

SCENES, REJECTED = 600, 5
CHROMIUM = shutil.which("chromium")
WIDTHS = (390, 1280, 1920)

expect.set_options(timeout=30_000)  # the first answers of a service on a busy machine take some seconds

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here; `make test-services` installs it")


@pytest.fixture(autouse=True)
def no_process_is_left() -> None:
    """The service of this file lives as long as the module."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of drawn scenes, some with captions that try to be more than text, some broken, and its input."""
    folder = tmp_path_factory.mktemp("page")
    siglane = Siglane(folder)
    siglane("scenes", "--output", "scenes", "--count", SCENES, "--split", "test", "--wrong-other", 0.2)
    drawn = pa.concat_tables([pq.read_table(file) for file in sorted((folder / "scenes").glob("*.parquet"))])
    image, caption = (
        next(name for name in drawn.column_names if name.startswith(kind)) for kind in ("image", "caption")
    )
    images, captions = drawn[image].to_pylist(), drawn[caption].to_pylist()
    for row in range(REJECTED):
        images[row * 7] = b"no image"
    hostile = [text for text in HOSTILE if text.isprintable() and 0 < len(text) < 1000]
    captions[100 : 100 + len(hostile)] = hostile
    write_parquet(folder / "in" / "a.parquet", images, captions, row_group_size=100)
    siglane("embed", "--input", "in", "--table", "t", "--model", "siglip-pico", "--local", "--score")
    return folder


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Serving]:
    with serving(Siglane(folder), "--table", "t", "--input", "in") as running:
        yield running


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    running = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
    yield running
    running.close()


@pytest.fixture
def page(browser: Browser, served: Serving) -> Iterator[Page]:
    """The page, opened; at the end it must have complained of nothing, and asked nobody else."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page = context.new_page()
    looked = Looked(page)
    page.on("request", lambda request: looked.requests.append(request.url))
    page.goto(served.url)
    expect(page.locator("#status")).to_contain_text("embedded rows")
    yield page
    context.close()
    assert {url for url in looked.requests if not url.startswith((served.url, "blob:", "data:"))} == set()
    refused = "Failed to load resource: the server responded with a status of 422"  # what a test has provoked
    assert [complaint for complaint in looked.complaints if not complaint.startswith(refused)] == []


def ask(page: Page, words: str) -> None:
    page.locator("#words").fill(words)
    page.locator("#words").press("Enter")
    expect(page.locator("#status")).to_contain_text(" hit")


def uids(page: Page, where: str = "#hits") -> list[str]:
    return [str(card.get_attribute("data-uid")) for card in page.locator(f"{where} .card").all()]


def expected(served: Serving, *terms: dict, **more: object) -> list[str]:
    return [hit["uid"] for hit in served.search(*terms, **{"k": 48, **more})]


def test_a_text_is_searched_for_and_more_hits_come_by_scrolling(page: Page, served: Serving) -> None:
    ask(page, "a red disc")
    first = expected(served, {"text": "a red disc"})
    assert uids(page)[:48] == first
    expect(page.locator("#hits img").first).to_have_js_property("complete", value=True)
    for _ in range(3):
        page.locator("#hits .card").last.scroll_into_view_if_needed()
        page.mouse.wheel(0, 4000)
        page.wait_for_timeout(200)
    expect(page.locator("#hits .card").nth(100)).to_be_attached()
    assert uids(page)[:96] == first + expected(served, {"text": "a red disc"}, offset=48)


def test_terms_are_added_turned_and_removed(page: Page, served: Serving) -> None:
    ask(page, "a red disc")
    page.locator("#away").fill("a blue background")
    page.keyboard.press("Enter")
    wanted = expected(served, {"text": "a red disc"}, {"text": "a blue background", "weight": -1})
    expect(page.locator("#hits .card").first).to_have_attribute("data-uid", wanted[0])
    assert uids(page)[:48] == wanted
    page.get_by_role("button", name="away from a blue background").click()
    wanted = expected(served, {"text": "a red disc"}, {"text": "a blue background"})
    expect(page.locator("#hits .card").first).to_have_attribute("data-uid", wanted[0])
    page.get_by_role("button", name="Remove a blue background").click()
    wanted = expected(served, {"text": "a red disc"})
    expect(page.locator("#hits .card").first).to_have_attribute("data-uid", wanted[0])


DROP = """([kind, bytes]) => {
  const files = new DataTransfer();
  files.items.add(new File([new Uint8Array(bytes)], "dropped.jpg", { type: "image/jpeg" }));
  const event = kind === "drop" ? new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true })
    : new ClipboardEvent("paste", { clipboardData: files, bubbles: true, cancelable: true });
  document.body.dispatchEvent(event);
}"""


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_an_image_is_dropped_or_pasted(page: Page, served: Serving, kind: str) -> None:
    page.evaluate(DROP, [kind, list(jpeg(3))])
    expect(page.locator("#terms .chip")).to_contain_text("dropped.jpg")
    expect(page.locator("#hits .card").first).to_be_visible()
    assert uids(page)[:48] == expected(served, {"image": base64.b64encode(jpeg(3)).decode()})


def test_more_like_this_image_and_this_caption(page: Page, served: Serving) -> None:
    ask(page, "a red disc")
    uid = uids(page)[2]
    page.locator("#hits .card").nth(2).get_by_role("button", name="Like this image").click()
    expect(page.locator("#hits .card").first).to_have_attribute("data-uid", uid)
    assert uids(page)[:48] == expected(served, {"uid": uid})
    page.locator("#hits .card").nth(1).get_by_role("button", name="Like this caption").click()
    wanted = expected(served, {"uid": expected(served, {"uid": uid})[1], "vector": "text"})
    expect(page.locator("#hits .card").first).to_have_attribute("data-uid", wanted[0])


def test_filters_come_from_the_columns_and_columns_can_be_shown(page: Page, served: Serving) -> None:
    page.locator("#filter-fields").get_by_label("source_row", exact=True).fill("300")
    page.locator("#filter-fields").get_by_label("caption", exact=True).fill("red")
    page.keyboard.press("Tab")
    assert page.locator("#condition").input_value() == "`caption` ILIKE '%red%' AND `source_row` >= 300"
    ask(page, "a red disc")
    where = "caption ILIKE '%red%' AND source_row >= 300"
    assert uids(page)[:48] == expected(served, {"text": "a red disc"}, where=where)
    page.get_by_text("Columns", exact=True).click()
    page.locator("#columns").get_by_text("original_width").click()
    expect(page.locator("#hits .facts").first).to_contain_text("original_width64")
    page.get_by_text("How to compare").click()
    expect(page.get_by_label("rank by the words")).to_be_disabled()  # the table has no index of words
    page.locator("#condition").fill("caption >")
    page.locator("#apply-filters").click()
    expect(page.locator("#status")).to_contain_text("where: expected a value")
    page.locator("#clear-filters").click()
    expect(page.locator("#status")).to_contain_text(" hit")


def test_it_is_used_by_keys_alone(page: Page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("a red disc")
    page.keyboard.press("Enter")
    expect(page.locator("#hits .card").nth(10)).to_be_visible()
    page.locator("#hits .card").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#hits .card").nth(1)).to_be_focused()
    page.keyboard.press("ArrowDown")
    below = page.evaluate("[...document.querySelectorAll('#hits .card')].indexOf(document.activeElement)")
    assert below > 2
    page.keyboard.press("ArrowUp")
    expect(page.locator("#hits .card").nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="A row")).to_contain_text("image_sha256")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="A row")).to_be_hidden()
    expect(page.locator("#hits .card").nth(1)).to_be_focused()


def test_a_cut_is_explored_by_its_slider(page: Page, served: Serving) -> None:
    page.get_by_role("link", name="Filter").click()
    expect(page.locator("#cut-command")).to_contain_text("siglane filter")
    page.locator("#cut-slider").focus()
    page.keyboard.press("Home")
    for _ in range(5):
        page.keyboard.press("PageUp")
    threshold = float(page.locator("#cut-number").input_value())
    at = served.get("/api/cut/examples", threshold=threshold)
    expect(page.locator("#cut-command")).to_have_text(at["command"])
    expect(page.locator("#cut-kept")).to_contain_text(f"{at['kept']} of {SCENES - REJECTED} pairs")
    assert uids(page, "#above") == [row["uid"] for row in at["above"]]
    assert uids(page, "#below") == [row["uid"] for row in at["below"]]
    assert page.locator("#estimates tr").count() == 3
    page.locator("#cut-number").fill("0.3")
    page.keyboard.press("Tab")
    expect(page.locator("#cut-command")).to_contain_text("--min=0.3 ")


def test_drawn_pairs_are_labelled_and_the_file_makes_a_cut(page: Page, folder: Path) -> None:
    page.get_by_role("link", name="Filter").click()
    expect(page.locator("#cut-command")).to_contain_text("siglane filter")
    page.locator("#label-count").fill("100")
    page.locator("#label-fraction").fill("40")
    page.locator("#draw").click()
    expect(page.locator("#label-counts")).to_have_text("0 of 100 labelled")
    for number in range(60):
        page.keyboard.press("w" if number % 5 == 0 else "r")
    expect(page.locator("#label-counts")).to_have_text("60 of 100 labelled")
    page.reload()  # labels are kept
    expect(page.locator("#cut-command")).to_contain_text("siglane filter")
    page.locator("#label-count").fill("100")
    page.locator("#label-fraction").fill("40")
    page.locator("#draw").click()
    expect(page.locator("#label-counts")).to_have_text("60 of 100 labelled")
    for number in range(60, 100):
        page.keyboard.press("w" if number % 5 == 0 else "r")
    command = page.locator("#label-pair pre").inner_text()
    with page.expect_download() as started:
        page.keyboard.press("Enter")  # on the button that saves, which has the focus
    assert started.value.suggested_filename == "labels.csv"
    started.value.save_as(folder / "labels.csv")
    found = Siglane(folder)(*command.replace("--output kept", "--output certified").split()[1:])
    assert found["kept"] > 0


@pytest.mark.parametrize("by", ["mouse", "keys", "numbers"])
def test_a_region_of_the_map_is_selected_and_exported(page: Page, served: Serving, tmp_path: Path, by: str) -> None:
    page.get_by_role("link", name="Map").click()
    expect(page.locator("#map-caption")).to_contain_text("coloured by cosine")
    page.locator("#map-colour").select_option("source_row")
    expect(page.locator("#map-caption")).to_contain_text("coloured by source_row")
    points = served.get("/api/map", colour="source_row", points=2000)
    if by == "mouse":
        box = page.locator("#map-canvas").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 10, box["y"] + 10)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 10, steps=4)
        page.mouse.up()
    elif by == "keys":
        page.locator("#map-canvas").focus()
        for key, times in (("ArrowLeft", 20), ("ArrowDown", 20), ("Shift+ArrowRight", 10), ("Shift+ArrowUp", 40)):
            for _ in range(times):
                page.keyboard.press(key)
        expect(page.locator("#map-selected")).to_be_empty()
        page.keyboard.press("Enter")
    else:
        page.get_by_text("Select a region by numbers").click()
        page.locator("#x-to").fill("0")
        page.locator("#map-select").click()
    wanted = {uid for uid, x in zip(points["uids"], points["x"], strict=True) if x <= 0}
    expect(page.locator("#map-selected")).to_contain_text("rows selected")
    with page.expect_download() as started:
        page.locator("#map-export").click()
    started.value.save_as(tmp_path / "uids.txt")
    found = set((tmp_path / "uids.txt").read_text().split())
    assert len(found ^ wanted) <= 3  # a point may lie on the border, to the pixel
    assert set(uids(page, "#map-rows")) <= found


def test_escape_leaves_no_row_of_the_map_selected(page: Page) -> None:
    page.get_by_role("link", name="Map").click()
    expect(page.locator("#map-caption")).to_contain_text("coloured by cosine")
    page.locator("#map-canvas").press("ArrowUp")
    page.keyboard.press(" ")
    expect(page.locator("#map-selected")).to_contain_text("selected")
    page.keyboard.press("Escape")
    expect(page.locator("#map-selected")).to_be_empty()
    expect(page.locator("#map-rows li")).to_have_count(0)


def test_rejects_are_shown_by_reason(page: Page) -> None:
    page.get_by_role("link", name="Rejects").click()
    expect(page.locator("#status")).to_contain_text("5 rows were rejected")
    page.get_by_role("button", name="decode: 5").click()
    expect(page.locator("#reject-rows tbody tr")).to_have_count(5)
    expect(page.locator("#reject-rows")).to_contain_text("not an image")


def test_hostile_captions_are_text(page: Page) -> None:
    for place, caption in enumerate([text for text in HOSTILE if text.isprintable() and 0 < len(text) < 1000]):
        page.locator("#condition").fill(f"source_row = {100 + place}")
        ask(page, "a")
        expect(page.locator("#hits .caption")).to_have_text(caption)
        page.locator("#hits .card").press("Enter")
        expect(page.locator("#opened h2")).to_have_text(caption)
        page.keyboard.press("Escape")
    assert (
        page.evaluate("document.querySelectorAll('#hits .caption *, #opened h2 *, main script, main style').length")
        == 0
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_and_a_screen_reader_can_use_it(
    browser: Browser, served: Serving, folder: Path, scheme: str, width: int
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(served.url)
    expect(page.locator("#status")).to_contain_text("embedded rows")
    ask(page, "a red disc")
    expect(page.locator("#hits img").first).to_have_js_property("complete", value=True)
    for view, shown in (
        ("search", "#hits .card"),
        ("filter", "#above .card"),
        ("map", "#map-legend li"),
        ("rejects", "#reject-rows td"),
    ):
        page.goto(f"{served.url}#{view}")
        expect(page.locator(shown).first).to_be_visible()
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.screenshot(path=folder / f"{view}-{scheme}-{width}.png")  # to be looked at by a person
        faults = Axe().run(page).response["violations"]
        serious = [
            f"{fault['id']}: {fault['nodes'][0]['html']}"
            for fault in faults
            if fault["impact"] in ("serious", "critical")
        ]
        assert serious == []
    page.close()


def test_a_service_that_was_killed_is_told_and_asked_again(browser: Browser, folder: Path) -> None:
    with serving(Siglane(folder), "--table", "t") as served:
        page = browser.new_page()
        page.goto(served.url)
        expect(page.locator("#status")).to_contain_text("embedded rows")
        ask(page, "a red disc")
        expect(page.locator("#hits .picture").first).to_contain_text("without --input")
        served.process.kill()
        served.process.wait()
        page.locator("#words").fill("a blue star")
        page.keyboard.press("Enter")
        expect(page.locator("#status")).to_contain_text("The service does not answer")
        expect(page.get_by_role("button", name="Try again")).to_be_visible()
        page.close()


def test_a_token_is_asked_for_once(browser: Browser, folder: Path) -> None:
    environment = {"TOKEN": "0123456789abcdef"}
    with serving(
        Siglane(folder), "--table", "t", "--input", "in", "--token-env", "TOKEN", environment=environment
    ) as served:
        page = browser.new_page()
        page.goto(served.url)
        page.get_by_label("needs a token").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("the token is wrong")
        page.get_by_label("needs a token").fill(environment["TOKEN"])
        page.keyboard.press("Enter")
        expect(page.locator("#status")).to_contain_text("embedded rows")
        ask(page, "a red disc")
        image = page.locator("#hits img").first
        expect(image).to_have_js_property("complete", value=True)
        assert image.evaluate("image => image.naturalWidth") > 0  # by the cookie
        page.close()


def test_an_empty_table_and_one_without_captions_say_so(browser: Browser, tmp_path: Path) -> None:
    siglane = Siglane(tmp_path)
    write_parquet(tmp_path / "bad.parquet", [b"no image"], ["a"])
    embed = ("embed", "--model", "siglip-pico", "--local")
    siglane(*embed, "--input", "bad.parquet", "--table", "empty", "--max-reject-fraction", 1)
    with serving(siglane, "--table", "empty") as served:
        page = browser.new_page()
        page.goto(served.url)
        expect(page.locator("#status")).to_contain_text("no embedded rows")
        for view, words in (
            ("Filter", "No row has a score"),
            ("Map", "no row has a vector"),
            ("Rejects", "1 row was rejected"),
        ):
            page.get_by_role("link", name=view).click()
            expect(page.locator("#status")).to_contain_text(words)
        page.close()
    write_parquet(tmp_path / "in.parquet", [jpeg(row) for row in range(5)], ["a"] * 5)
    siglane(*embed, "--input", "in.parquet", "--no-captions", "--table", "plain")
    with serving(siglane, "--table", "plain", "--input", "in.parquet", "--no-captions") as served:
        page = browser.new_page()
        page.goto(served.url)
        expect(page.locator("#status")).to_contain_text("5 images without captions")
        ask(page, "a red disc")
        expect(page.locator("#hits .caption").first).to_have_text("no caption")
        expect(page.get_by_role("button", name="Like this caption")).to_have_count(0)
        page.close()

"""`siglane report`: what the page says, and that whatever a table holds stays text on it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from jobs import dedup, filter, report  # noqa: A004
from pipeline import schema
from pipeline.filtering import beside
from tests.embedding import embed
from tests.report_page import Page, noisy, page_of
from tests.rows import rows_of
from tests.samples import jpeg, write_parquet, write_photos
from tests.tables import cosines_as, write_table

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=https://example.org/x onerror=alert(1)>',
    "</style></svg><style>@import url(https://example.org)</style>",
    "&lt;b&gt; ]]> <!-- -->",
    "a \u202etfel\u202c b \0\x1b[31m\x85",
    "x" * 100_000,
    "e\u0301" * 3,
    "",
]


def test_it_tells_counts_rejects_and_an_estimated_cut(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    count, rejected = 2000, 100
    reasons = {
        schema.STATUS: [schema.SUCCESS] * (count - rejected) + [schema.REJECTED] * rejected,
        schema.STAGE: [None] * (count - rejected) + ["decode"] * 60 + ["read"] * 40,
        schema.REASON: [None] * (count - rejected) + ["too-large"] * 60 + ["no-caption"] * 40,
    }
    page, summary = page_of(noisy(tmp_path / "t", count, **reasons), capfd)
    assert (summary["embedded"], summary["rejected"], summary["scored"]) == (1900, 100, 1900)
    assert "2,000 read = 1,900 embedded + 100 rejected." in page.text
    assert "decode too-large 60 3.00 % read no-caption 40 2.00 %" in page.text
    assert 0.03 < summary["mismatch_fraction"] <= 0.05
    assert f"keeps {summary['kept']:,} of 1,900 scored pairs" in page.text
    assert "a caption that is nearly right" in page.text
    assert "The table contains no images. To show them, give siglane report the --input" in page.text
    assert "hf-bicubic-aa.v1@32" in page.text
    assert page.count("svg") == 5  # two curves and three scores


def test_whatever_a_caption_holds_is_text(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    captions = [HOSTILE[row % len(HOSTILE)] for row in range(400)]
    page, _ = page_of(noisy(tmp_path / "t", 400, **{schema.CAPTION: captions}), capfd)
    for caption in HOSTILE[:4]:
        assert " ".join(caption.split()) in page.text
    assert "a ⟨U+202E⟩tfel⟨U+202C⟩ b ⟨U+0000⟩⟨U+001B⟩[31m⟨U+0085⟩" in page.text
    assert "x… (100,000 characters)" in page.text
    assert len(page.html) < 200_000
    assert page.count("style") == 1


def test_hostile_names_of_columns_groups_and_reasons_are_text_too(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    name = "<b onclick=x>"
    table = noisy(tmp_path / "t", 400, **{name: np.arange(400.0), "group": [HOSTILE[0]] * 200 + [HOSTILE[1]] * 200})
    cut = ["--by", "logit", "--top-fraction", "0.5", "--per", "group", "--output", str(tmp_path / "kept")]
    assert filter.main(["--table", str(table), *cut]) == 0
    page, summary = page_of(table, capfd, "--threshold-from", tmp_path / "kept.siglane" / "manifest.json")
    assert name in page.text
    assert f"{HOSTILE[0]} 200" in page.text
    assert page.count("b") == page.count("img") == 0
    assert (summary["by"], summary["kept"]) == ("logit", 200)
    assert "each group has its own" in page.text


def test_the_cut_is_the_one_of_an_earlier_filter(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    table, kept = noisy(tmp_path / "t"), tmp_path / "kept"
    assert (
        filter.main(["--table", str(table), "--by", "probability", "--top-fraction", "0.5", "--output", str(kept)]) == 0
    )
    page, summary = page_of(table, capfd, "--threshold-from", kept)
    assert summary["kept"] == json.loads((beside(kept) / "manifest.json").read_text())["kept"] == 1000
    assert "The cut of the earlier filter" in page.text
    assert "The cut keeps 50.0\N{NO-BREAK SPACE}%" in page.html  # on the curve, though that is of cosines
    assert summary["mismatch_fraction"] < 0.05


SIDES = np.arange(2000) % 9 + 1
RULE = """
all:
  - {by: cosine, top_fraction: 0.6}
  - any:
      - {by: side, max: 4}
      - {weighted_sum: {cosine: 1, aspect: -1}, min: 0.2}
"""


@pytest.fixture
def ruled(tmp_path: Path) -> Path:
    """A table with signals, some of whose rows lack one, and what a rule keeps of it in `kept`."""
    aspects = np.where(np.arange(2000) % 50 == 7, np.nan, np.arange(2000) % 7 + 1)
    kinds = {"side": SIDES, "aspect": aspects, "lang": ["en", "fr"] * 1000}
    table = noisy(tmp_path / "t", **kinds, caption=[f"caption {row}." for row in range(2000)])
    (tmp_path / "rule.yaml").write_text(RULE)
    return table


def verdicts(page: Page) -> tuple[list[int], list[int]]:
    """Rows under "Just kept" and under "Just dropped", by their captions."""
    kept, dropped = page.text.partition("Just kept")[2].partition("Best")[0].split("Just dropped")
    return tuple([int(row) for row in re.findall(r"caption (\d+)\.", part)] for part in (kept, dropped))  # type: ignore[return-value]


def test_a_rule_of_an_earlier_filter_is_told_cut_by_cut(
    ruled: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = ["--table", str(ruled), "--rule", str(tmp_path / "rule.yaml"), "--output", str(tmp_path / "kept")]
    assert filter.main([*run, "--where", "side < 9", "--flag", "good"]) == 0
    manifest = json.loads((tmp_path / "kept.siglane" / "manifest.json").read_text())
    page, summary = page_of(ruled, capfd, "--threshold-from", tmp_path / "kept.siglane" / "manifest.json")
    assert summary["kept"] == manifest["kept"] > 100
    assert (summary["by"], summary["scored"], summary["mismatch_fraction"]) == (None, None, None)
    assert f"keeps {manifest['kept']:,} of {manifest['rows']:,} pairs, of the rows where side < 9." in page.text
    assert "There is no estimate of the mismatched pairs among them" in page.text
    for cut, sign in zip(manifest["groups"][0]["cuts"], "≥≤≥", strict=True):
        told = f"{cut['rule']} {cut['by']} {sign} {cut['threshold']:.4g} {cut['scored']:,} {cut['passed']:,}"
        assert told in page.text
    assert "The cut is not marked: it is a rule" in page.text

    good = {int(row["key"]): row["good"] for row in rows_of(ruled).values()}
    kept, dropped = verdicts(page)
    assert len(kept) == len(dropped) == 12
    assert all(good[row] for row in kept)
    assert not any(good[row] for row in dropped)
    assert re.search(r"caption \d+\. cosine [\d.]+ side \d aspect [\d.]+ ", page.text)


@pytest.mark.parametrize(
    ("rule", "just_kept", "just_dropped"),
    [
        ("all: [{by: up, min: 20}, {by: down, max: -25}]", [25], [24]),
        ("any: [{by: up, min: 20}, {by: down, max: -25}]", [20], [19]),
        ("all: [{by: up, top_fraction: 0.5}, {by: gaps, max: 32}]", [32], [33]),
        ("all: [{by: up, max: 10}, {by: gaps, min: 0}]", [], [30]),
        ("all: [{by: up, top_fraction: 0}]", [], [39]),
    ],
)
def test_near_to_a_rule_is_told_by_the_cut_that_decides(
    tmp_path: Path, rule: str, just_kept: list[int], just_dropped: list[int], capfd: pytest.CaptureFixture[str]
) -> None:
    sizes = np.arange(40.0)
    table = write_table(
        tmp_path / "t",
        *cosines_as([0.5] * 40),
        caption=[f"caption {row}." for row in range(40)],
        up=sizes,
        down=-sizes,
        gaps=np.where(sizes < 30, np.nan, sizes),
    )
    (tmp_path / "rule.yaml").write_text(rule)
    run = ["--table", str(table), "--rule", str(tmp_path / "rule.yaml"), "--output", str(tmp_path / "kept")]
    assert filter.main(run) == 0
    page, _ = page_of(table, capfd, "--threshold-from", tmp_path / "kept.siglane" / "manifest.json")
    kept, dropped = verdicts(page)
    assert (kept[:1], dropped[:1]) == (just_kept, just_dropped)


def test_a_rule_with_cuts_for_each_group(ruled: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = ["--table", str(ruled), "--rule", str(tmp_path / "rule.yaml"), "--output", str(tmp_path / "kept")]
    assert filter.main([*run, "--where", "lang = 'en'", "--per", "lang"]) == 0
    manifest = tmp_path / "kept.siglane" / "manifest.json"
    (group,) = json.loads(manifest.read_text())["groups"]
    page, _ = page_of(ruled, capfd, "--threshold-from", manifest)
    assert f"lang pairs kept en 1,000 {group['kept']} " in page.text
    for cut in group["cuts"]:
        assert f"en {cut['rule']} {cut['by']} " in page.text


def test_it_says_why_it_cannot_tell(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    table = write_table(tmp_path / "t", rng.standard_normal((1000, 8)), rng.standard_normal((1000, 8)))
    page, summary = page_of(table, capfd)
    assert summary["mismatch_fraction"] is None
    assert summary["kept"] is None
    assert summary["cannot_tell"] == "only about 0 of 1000 pairs score higher than captions of other images do"
    assert f"mismatched pairs cannot be estimated, because {summary['cannot_tell']}." in page.text
    assert "There is no cut, so there are no pairs near it." in page.text
    assert page.count("svg") == 3


def test_a_table_without_scores_or_rows_has_a_page_too(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    vectors = np.ones((3, 8))
    none = pa.nulls(3, pa.list_(pa.float16(), 8))
    page, summary = page_of(write_table(tmp_path / "t", vectors, vectors, image_vector=none), capfd)
    assert (summary["embedded"], summary["scored"]) == (3, 0)
    assert "No row has a value; run siglane score to compute it." in page.text
    rejected = {schema.STATUS: [schema.REJECTED] * 3}
    page, summary = page_of(write_table(tmp_path / "r", vectors, vectors, **rejected), capfd)
    assert (summary["embedded"], summary["rejected"]) == (0, 3)


def test_distributions_of_further_columns_whatever_they_hold(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    odd = np.tile([1e308, -1e308, np.nan, np.inf, 0.0, 5e-324], 50)
    page, _ = page_of(noisy(tmp_path / "t", 300, odd=odd, same=np.full(300, 7.5), empty=np.full(300, np.nan)), capfd)
    assert "minimum −1e+308, maximum 1e+308. 100 rows have no value." in page.text
    assert "empty No row has a value." in page.text
    assert "Median 7.5; 90 % of the values from 7.5 to 7.5; minimum 7.5, maximum 7.5." in page.text
    assert not re.search("nan|inf", " ".join(str(attributes.get("d")) for _, attributes in page.elements))


def test_duplicates_that_were_found(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    table = noisy(tmp_path / "t", 400, **{schema.IMAGE_SHA256: ["a" * 64] * 5 + ["b" * 64] * 2 + [None] * 393})
    assert "Not checked; run siglane dedup to mark duplicates." in page_of(table, capfd)[0].text
    assert dedup.main(["--table", str(table), "--method", "exact"]) == 0
    page, _ = page_of(table, capfd)
    assert "5 rows are duplicates: 5 of 2 kept rows in this table." in page.text
    assert "A kept row and its 4 duplicates" in page.text
    other = write_table(tmp_path / "other", np.ones((1, 64)), np.ones((1, 64)), image_sha256=["a" * 64])
    assert dedup.main(["--table", str(table), "--method", "exact", "--against", str(other)]) == 0
    assert (
        "6 rows are duplicates: 5 of 2 kept rows in this table, and 1 of rows in another table."
        in page_of(table, capfd)[0].text
    )


def test_images_are_read_again_and_one_that_cannot_be_shown_says_why(
    tmp_path: Path, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    photos, table = write_photos(tmp_path / "in", 12), tmp_path / "t"
    embed(photos, table, model, score=True)
    (photos / "photo0003.jpg").write_bytes(jpeg(99))
    (photos / "photo0004.jpg").write_bytes(b"no image any more")
    page, _ = page_of(table, capfd, "--input", photos)
    shown = [attributes for tag, attributes in page.elements if tag == "img"]
    assert len(shown) == 20  # the best and the worst are the same twelve: there are too few for a cut
    assert "not the embedded image: the file has changed since" in page.text

    (photos / "photo0003.jpg").unlink()
    assert "no longer in the input" in page_of(table, capfd, "--input", photos)[0].text
    assert report.main(["--table", str(table), "--output", str(tmp_path / "x.html"), "--input", str(model)]) == 1
    assert not (tmp_path / "x.html").exists()


def test_a_picture_that_cannot_be_decoded_shows_its_reason(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    images = [jpeg(0), b"<html>gone</html>", None]
    write_parquet(tmp_path / "in" / "a.parquet", images[:2], ["a", "b"])
    write_parquet(tmp_path / "in" / "b.parquet", images[2:], ["c"])
    table = write_table(tmp_path / "t", *cosines_as([0.1, 0.2, 0.3]), image_sha256=[None] * 3)
    page, _ = page_of(table, capfd, "--input", tmp_path / "in")
    assert page.count("img") == 2  # of the best, and of the worst
    assert page.text.count("decode: not an image that Pillow decodes (the bytes look like HTML)") == 2
    assert page.text.count("the pair has no image") == 2


def test_what_fails_leaves_the_page_that_was_there(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    table = noisy(tmp_path / "t", 400)
    page_of(table, capfd)
    before = (tmp_path / "t.html").read_bytes()
    run = ["--table", str(table), "--output", str(tmp_path / "t.html")]
    no_manifest = tmp_path / "rule.yaml"
    no_manifest.write_text("all: [{by: cosine, min: 0}]")
    assert report.main([*run, "--threshold-from", str(no_manifest)]) == 2
    assert (tmp_path / "t.html").read_bytes() == before
    (tmp_path / "d.html").mkdir()
    assert report.main(["--table", str(table), "--output", str(tmp_path / "d.html")]) == 1
    assert report.main(["--table", str(table), "--output", str(tmp_path / "no" / "r.html")]) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"t.lance", "t.html", "rule.yaml", "d.html"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--output", "r.pdf"], "the name must end in .html"),
        (["--output", "r.html", "--image-col", "x"], "--image-col describe --input: give --input too"),
        (["--output", "r.html", "--cost-per-hour", "-1"], "greater than or equal to 0"),
    ],
)
def test_what_is_of_no_use_is_refused(options: list[str], said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert report.main(["--table", "db/t", *options]) == 2
    assert said in capfd.readouterr().err

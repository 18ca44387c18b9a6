"""`siglane report`: what the page says of mismatched pairs, under each assumption and by labels."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from jobs import filter  # noqa: A004
from pipeline import scoring, table
from pipeline.filtering import beside
from tests.report_page import Page, noisy, page_of
from tests.rows import rows_of
from tests.tables import write_table
from tests.vectors import simulated


def filtered(path: Path, *options: str) -> Path:
    output = path.parent / "kept"
    assert filter.main(["--table", str(path), "--output", str(output), *options]) == 0
    return output


def classes(page: Page, tag: str) -> list[str]:
    return [str(attributes.get("class")) for name, attributes in page.elements if name == tag]


def share(value: float) -> str:
    return f"{100 * value:.2f} %" if value < 0.1 else f"{100 * value:.1f} %"


def test_there_is_a_line_for_each_assumption_and_a_legend_that_names_them(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    page, summary = page_of(noisy(tmp_path / "t"), capfd)
    assert [kind for kind in classes(page, "path") if "line" in kind] == ["line any", "line similar", "line random"] * 2
    assert classes(page, "span").count("random") == classes(page, "span").count("any") == 2
    for words in ("those of random images", "those of similar images", "the most that the scores allow, of both kinds"):
        assert page.text.count(words) >= 2
    assert (summary["assumes"], summary["contradicted"], summary["certified"]) == ("random", False, None)
    assert 0.03 < summary["mismatch_fraction"] < summary["mismatch_upper_any"] < 0.3
    assert f"of both kinds at most {share(summary['mismatch_upper_any'])} a bound" in page.text
    assert f"at most {share(summary['mismatch_upper_any'])} if of both" in page.text  # beside the main figure
    assert "The scores contradict" not in page.text


def test_cuts_for_several_shares_are_told_by_the_estimate_and_by_the_bound(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = noisy(tmp_path / "t")
    page, summary = page_of(path, capfd)
    row = page.text.partition("at most 5 % ")[2].partition("at most 10 %")[0].split()
    threshold, kept = float(row[0]), float(row[1])
    assert kept == pytest.approx(100 * summary["kept"] / 2000, abs=0.2)
    cosines = np.array([row["cosine"] for row in rows_of(path).values()])
    assert np.mean(cosines >= threshold) == pytest.approx(kept / 100, abs=0.002)
    assert float(row[3]) > threshold  # the bound needs a higher cut


def test_scores_that_contradict_the_assumption_come_first(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pairs, _ = simulated(4000, 0.4, seed=3, similar=True)
    page, summary = page_of(write_table(tmp_path / "t", pairs.image_vectors, pairs.text_vectors), capfd)
    assert summary["contradicted"] is True
    _, _, section = page.html.partition('<section id="cut">')
    assert section.startswith('<h2>The cut</h2><p class="note">The scores contradict that wrong captions are those of')
    assert "siglane filter --wrong-captions any" in page.text
    assert re.search(r"those of random other images [\d.]+ % contradicted by the scores", page.text)
    most = share(summary["mismatch_upper_any"])
    assert f"mismatched among kept at most {most} if wrong captions are of random and similar images" in page.text


def test_captions_of_similar_images_alone_may_be_contradicted_too(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    page, summary = page_of(noisy(tmp_path / "t", 4000), capfd)  # all wrong captions are random
    (similar,) = re.findall(r"those of similar images ([\d.]+) % contradicted by the scores", page.text)
    assert float(similar) / 100 > summary["mismatch_upper_any"]
    assert "Where the dotted line lies above the broken one, it is too high" in page.text


def test_curves_are_drawn_where_no_cut_reaches_the_share(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pairs, _ = simulated(2000, 0.6, seed=3, noise=2.2)
    page, summary = page_of(write_table(tmp_path / "t", pairs.image_vectors, pairs.text_vectors), capfd)
    assert summary["kept"] is None
    assert summary["cannot_tell"] == "no cut is estimated to keep at most 5.00% mismatched pairs"
    assert f"mismatched pairs cannot be estimated, because {summary['cannot_tell']}." in page.text
    assert "Choose a cut by the curves below" in page.text
    assert page.count("svg") == 5
    assert "at most 5 % no cut – no cut –" in page.text
    assert "The cut is not marked" not in page.text


def test_a_filter_by_the_bound_is_told_in_its_words(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = noisy(tmp_path / "t")
    kept = filtered(path, "--max-mismatch-fraction", "0.1", "--wrong-captions", "any")
    manifest = json.loads((beside(kept) / "manifest.json").read_text())
    page, summary = page_of(path, capfd, "--threshold-from", kept)
    assert summary["assumes"] == "any"
    assert summary["mismatch_fraction"] == summary["mismatch_upper_any"] == pytest.approx(manifest["mismatch_fraction"])
    most = share(summary["mismatch_fraction"])
    assert f"mismatched among the kept pairs this is of both kinds at most {most} a bound: the most" in page.text
    assert "the filter assumes this" in page.text
    assert f"mismatched among kept at most {most} if wrong captions are of random and similar" in page.text
    assert classes(page, "circle") == ["dot any"] * 2


def test_a_filter_by_the_normalised_score_has_curves_of_that_score(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = noisy(tmp_path / "t")
    for _ in scoring.fill_signal(table.parse(str(path)), "normalised_score"):
        pass
    kept = filtered(path, "--max-mismatch-fraction", "0.05", "--by", "normalised_score")
    manifest = json.loads((beside(kept) / "manifest.json").read_text())
    page, summary = page_of(path, capfd, "--threshold-from", kept)
    assert summary["by"] == "normalised_score"
    assert summary["kept"] == manifest["kept"]
    assert summary["mismatch_fraction"] == pytest.approx(manifest["mismatch_fraction"], abs=1e-3)
    assert "Mismatched, by the normalised_score of the cut" in page.text
    assert "by the cosine of the cut" not in page.text
    assert page.text.count("pairs decoys") == 4  # cosine, logit, probability and this score


def test_a_filter_by_q_value_is_told_what_that_is(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = noisy(tmp_path / "t")
    for _ in scoring.fill_signal(table.parse(str(path)), "q_value"):
        pass
    kept = filtered(path, "--by", "q_value", "--max", "0.02")
    page, _ = page_of(path, capfd, "--threshold-from", kept)
    assert "The cut is by q_value: an estimated share of at most 2.00 % of the kept pairs is mismatched." in page.text
    assert "keeps the pairs below it" not in page.text


def test_a_normalised_score_that_no_row_has_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = noisy(tmp_path / "t", 400)
    for _ in scoring.fill_signal(table.parse(str(path)), "normalised_score"):
        pass
    kept = filtered(path, "--top-fraction", "0.5", "--by", "normalised_score")
    empty = noisy(tmp_path / "empty", 400, normalised_score=np.full(400, np.nan, np.float32))
    page, summary = page_of(empty, capfd, "--threshold-from", kept)
    assert (summary["kept"], summary["cannot_tell"]) == (0, "no pair is scored")
    assert "cannot be estimated, because no pair is scored." in page.text


def certified(path: Path, *options: str) -> Path:
    """A filter whose cut is certified by labels of 400 pairs, drawn elsewhere."""
    _, is_wrong = simulated(2000, 0.3, seed=1)  # as `noisy` has it
    rows = [(row["uid"], is_wrong[int(row["key"])]) for row in rows_of(path).values()]
    chosen = [rows[place] for place in np.random.default_rng(0).permutation(len(rows))[:400]]
    labels = path.parent / "labels.csv"
    labels.write_text("uid,label\n" + "".join(f"{uid},{'wrong' if wrong else 'right'}\n" for uid, wrong in chosen))
    return filtered(path, "--max-mismatch-fraction", "0.05", "--labels", str(labels), *options)


def test_a_certified_cut_has_its_bound_beside_the_estimates(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = noisy(tmp_path / "t")
    kept = certified(path)
    found = json.loads((beside(kept) / "manifest.json").read_text())["certified"]
    page, summary = page_of(path, capfd, "--threshold-from", kept)
    assert summary["certified"] == found
    told = "by labels at most 5.00 % certified with 95 % confidence when the filter ran; of the kept pairs, "
    told += f"{found['labels']} are labelled: {found['wrong']} wrong, 0 unsure; this assumes that {found['assumes']}"
    assert told in page.text
    assert "mismatched among kept at most 5.00 % certified by labels" in page.text
    assert classes(page, "circle") == ["dot random", "dot certified"] * 2
    assert page.text.count("at most, certified by labels") == 2


def test_a_certificate_for_another_score_is_told_without_a_place_on_the_curves(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _, is_wrong = simulated(2000, 0.3, seed=1)
    path = noisy(tmp_path / "t", quality=np.where(is_wrong, 0.0, 2000.0) + np.arange(2000.0))
    page, _ = page_of(path, capfd, "--threshold-from", certified(path, "--by", "quality"))
    assert "certified with 95 % confidence" in page.text
    assert page.count("circle") == 0
    assert "it is by quality, but the curves show cuts by the cosine" in page.text

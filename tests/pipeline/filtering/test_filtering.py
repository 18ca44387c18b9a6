"""Scores from stored vectors, and what a cut through them keeps."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import lance
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import siglip_core
from pipeline import schema, scoring, table
from pipeline.errors import EstimateError, TableError, UsageError
from pipeline.filtering import Filtered, Selection, filter_table, one_cut, parquet_parts, written_as
from pipeline.filtering.cuts import top_fraction
from pipeline.filtering.outputs import Output
from pipeline.mismatch.estimate import Assumption
from tests.embedding import embed
from tests.rows import rows_of
from tests.samples import jpeg, write_parquet, write_photos
from tests.tables import cosines_as, uids, write_table
from tests.vectors import simulated


@pytest.fixture
def scored(tmp_path: Path, model: Path) -> Path:
    """A table of 20 scored pairs, of which the last four are one pair, and one reject."""
    images = [jpeg(min(i, 16)) for i in range(20)]
    captions = [f"caption {min(i, 16)}" for i in range(20)]
    write_parquet(tmp_path / "in.parquet", [*images, b"broken"], [*captions, "x"])
    embed(tmp_path / "in.parquet", tmp_path / "t", model)
    assert list(scoring.score_table(table.parse(str(tmp_path / "t")))) == [20]
    return tmp_path / "t"


def keep(
    scored: Path,
    output: Path,
    by: str = "cosine",
    where: str | None = None,
    per: str | None = None,
    wrong_captions: Assumption = "random",
    **limit: object,
) -> tuple[Filtered, list[dict[str, object]]]:
    selection = Selection(one_cut(by, **limit), where=where, per=per, wrong_captions=wrong_captions)
    result = filter_table(table.open_table(table.parse(str(scored))), selection, output)
    rows = pq.ParquetDataset(sorted(output.glob("*.parquet"))).read().to_pylist()
    assert len(rows) == result.kept == sum(group.kept for group in result.groups)
    return result, rows


def test_scores_are_the_models_own_formula_on_the_stored_vectors(scored: Path, model: Path) -> None:
    encoder = siglip_core.load(model)
    for row in rows_of(scored).values():
        if row["status"] == "rejected":
            assert (row["cosine"], row["logit"], row["probability"]) == (None, None, None)
            continue
        x, y = (np.array(row[name], np.float64) for name in ("image_vector", "text_vector"))
        cosine = x @ y / np.linalg.norm(x) / np.linalg.norm(y)
        logit = encoder.logit_scale * cosine + encoder.logit_bias
        assert abs(row["cosine"] - cosine) < 1e-6
        assert abs(row["logit"] - logit) < 1e-4
        assert abs(row["probability"] - 1 / (1 + np.exp(-logit))) < 1e-6


def test_scores_filled_in_while_embedding_are_those_of_a_later_scoring(tmp_path: Path, model: Path) -> None:
    at_once, later = tmp_path / "at-once", tmp_path / "later"
    images = [jpeg(0), jpeg(1), jpeg(2), jpeg(3), b"broken", None, jpeg(3)]
    write_parquet(tmp_path / "some.parquet", images, ["a", None, "b", "c", "d", "e", "f"])
    embed(tmp_path / "some.parquet", at_once, model, score=True, allow_missing=True)
    embed(tmp_path / "some.parquet", later, model, allow_missing=True)
    list(scoring.score_table(table.parse(str(later))))
    ours, theirs = (
        {key: [row[name] for name in ("cosine", "logit", "probability")] for key, row in rows_of(path).items()}
        for path in (at_once, later)
    )
    assert ours == theirs
    assert sum(scores[0] is not None for scores in ours.values()) == 4
    assert list(scoring.score_table(table.parse(str(at_once)))) == []


def test_scoring_again_finds_nothing_to_do(scored: Path) -> None:
    version = table.open_table(table.parse(str(scored))).version
    assert list(scoring.score_table(table.parse(str(scored)))) == []
    assert table.open_table(table.parse(str(scored))).version == version


def test_rows_that_came_after_a_scoring_are_scored_by_the_next(tmp_path: Path, model: Path) -> None:
    uri = table.parse(str(tmp_path / "t"))
    write_photos(tmp_path / "in", 3)
    embed(tmp_path / "in", tmp_path / "t", model)
    assert sum(scoring.score_table(uri)) == 3
    before = {key: row["cosine"] for key, row in rows_of(tmp_path / "t").items()}
    write_photos(tmp_path / "in", 2, first=3)
    embed(tmp_path / "in", tmp_path / "t", model)
    assert sum(scoring.score_table(uri)) == 2
    after = {key: row["cosine"] for key, row in rows_of(tmp_path / "t").items()}
    assert None not in after.values()
    assert before.items() <= after.items()


def test_minimum_keeps_what_reaches_it(scored: Path, tmp_path: Path) -> None:
    cosines = sorted(row["cosine"] for row in rows_of(scored).values() if row["cosine"] is not None)
    expected = [cosine for cosine in cosines if cosine >= cosines[5]]
    result, kept = keep(scored, tmp_path / "out", min=cosines[5])
    assert (result.rows, result.scored, result.kept, result.threshold) == (20, 20, len(expected), cosines[5])
    assert sorted(row["cosine"] for row in kept) == expected


@pytest.mark.parametrize("by", ["cosine", "logit", "probability"])
@pytest.mark.parametrize("fraction", [0.0, 0.04, 0.05, 0.5, 0.73, 1.0])
def test_top_fraction_keeps_exactly_its_share(scored: Path, tmp_path: Path, by: str, fraction: float) -> None:
    result, kept = keep(scored, tmp_path / "out", by, top_fraction=fraction)
    assert result.kept == len(kept) == int(fraction * 20 + 1e-9)
    ranked = sorted(
        (row for row in rows_of(scored).values() if row["cosine"] is not None), key=lambda row: (-row[by], row["uid"])
    )
    assert {row["uid"] for row in kept} == {row["uid"] for row in ranked[: len(kept)]}


def test_top_fraction_multiplies_the_decimal_as_written() -> None:
    scores = np.arange(100, dtype=np.float32)
    assert top_fraction.of_scores(scores, 0.29).threshold == 71.0


def test_ties_at_the_cut_go_to_the_smaller_uids() -> None:
    cut = top_fraction.of_scores(np.array([3, 1, 1, 1, 0], np.float32), 0.6)
    assert (cut.threshold, cut.ties_kept) == (1.0, 2)


def test_ties_of_one_uid_are_cut_as_exactly(tmp_path: Path, model: Path) -> None:
    write_parquet(tmp_path / "in.parquet", [jpeg(1)] * 10, ["a"] * 10, uid=["0f" * 16] * 10)
    embed(tmp_path / "in.parquet", tmp_path / "t", model)
    list(scoring.score_table(table.parse(str(tmp_path / "t"))))
    result, kept = keep(tmp_path / "t", tmp_path / "out", top_fraction=0.3)
    assert (result.kept, [row["source_row"] for row in kept]) == (3, [0, 1, 2])


def test_a_cut_that_keeps_nothing_has_no_threshold(scored: Path, tmp_path: Path) -> None:
    result, kept = keep(scored, tmp_path / "out", top_fraction=0.0)
    assert (result.kept, result.threshold, kept) == (0, None, [])


def test_where_leaves_rows_out_before_anything_is_ranked(scored: Path, tmp_path: Path) -> None:
    result, kept = keep(scored, tmp_path / "out", top_fraction=0.5, where="source_row < 10")
    assert (result.rows, result.kept) == (10, 5)
    assert all(row["source_row"] < 10 for row in kept)  # type: ignore[operator]


def test_where_that_is_no_sql_is_refused(scored: Path, tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"cannot read rows where .*nope"):
        keep(scored, tmp_path / "out", min=0.0, where="nope > 3")
    assert not (tmp_path / "out").exists()


def test_the_artefact_has_a_manifest_and_leaves_vectors_out(scored: Path, tmp_path: Path) -> None:
    _, kept = keep(scored, tmp_path / "out", top_fraction=0.25)
    assert set(kept[0]) >= {"uid", "key", "source", "source_row", "caption", "cosine", "logit", "probability"}
    assert not set(kept[0]) & {"image_vector", "text_vector", "error_message"}
    manifest = json.loads((tmp_path / "out.siglane" / "manifest.json").read_text())
    assert (manifest["by"], manifest["top_fraction"], manifest["kept"], manifest["scored"]) == ("cosine", 0.25, 5, 20)
    assert manifest["table_version"] == lance.dataset(f"{scored}.lance").version
    assert len(pd.read_parquet(tmp_path / "out")) == 5  # the folder is read whole, manifest and all
    assert manifest["identity"]["weights"] == table.open_table(table.parse(str(scored))).identity.weights


@pytest.mark.parametrize("cut", [{"min": -1.0}, {"top_fraction": 1.0}])
def test_rows_are_embedded_ones_scored_or_not_and_no_rejects(
    scored: Path, tmp_path: Path, model: Path, cut: dict[str, float]
) -> None:
    write_photos(tmp_path / "more", 2)
    embed(tmp_path / "more", scored, model)
    result, kept = keep(scored, tmp_path / "out", **cut)
    assert (result.rows, result.scored, result.kept, len(kept)) == (22, 20, 20, 20)


def test_an_output_that_is_there_is_not_touched(scored: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="already exists"):
        keep(scored, tmp_path / "out", min=0.0)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_table_without_scores_is_refused_with_the_mend(tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 2)
    embed(tmp_path / "in", tmp_path / "t", model)
    with pytest.raises(TableError, match="none of the 2 rows has a cosine; run `siglane score"):
        keep(tmp_path / "t", tmp_path / "out", min=0.0)


def test_a_table_of_images_alone_is_refused_with_the_way_to_captions(tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 2)
    embed(tmp_path / "in", tmp_path / "t", model, captions=False)
    with pytest.raises(TableError, match=r"has a cosine; no row has a caption; `siglane captions --table"):
        keep(tmp_path / "t", tmp_path / "out", min=0.0)


def test_a_fixed_state_of_the_table_can_be_filtered(scored: Path, tmp_path: Path) -> None:
    version = table.open_table(table.parse(str(scored))).version
    result, _ = keep(scored.with_name(f"t@{version}"), tmp_path / "out", min=-1.0)
    assert result.kept == 20
    with pytest.raises(TableError, match="no version or tag 99"):
        keep(scored.with_name("t@99"), tmp_path / "more", min=-1.0)


COSINES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]


@pytest.fixture
def languages(tmp_path: Path) -> Path:
    """Eight scored pairs, four of `en`, three of `fr` and one of no language; one has no `quality`."""
    return write_table(
        tmp_path / "languages",
        *cosines_as(COSINES),
        lang=["en", "fr", "en", "fr", "en", "fr", "en", None],
        quality=pa.array([5, 9, 9, 2, 7, None, 1, 3], pa.int64()),
        weight=[0.5, math.nan, 0.7, 0.1, math.nan, 0.9, 0.2, 0.3],
    )


def rows_kept(rows: list[dict[str, object]]) -> list[int]:
    return sorted(int(str(row["key"])) for row in rows)


def test_any_column_of_numbers_can_be_the_score_and_what_has_none_is_never_kept(
    languages: Path, tmp_path: Path
) -> None:
    result, kept = keep(languages, tmp_path / "a", "quality", min=5)
    assert (result.rows, result.scored, rows_kept(kept)) == (8, 7, [0, 1, 2, 4])
    result, kept = keep(languages, tmp_path / "b", "weight", top_fraction=0.5)
    assert (result.rows, result.scored, rows_kept(kept)) == (8, 6, [0, 2, 5])
    with pytest.raises(TableError, match=r"no numeric column 'lang'; .*--signal NAME`; the table has .*quality"):
        keep(languages, tmp_path / "c", "lang", min=0)


def test_rows_that_are_not_embedded_are_not_ranked_though_they_have_the_signal(tmp_path: Path) -> None:
    """Signals of captions are filled for rejects too."""
    status = [schema.REJECTED, schema.SUCCESS, schema.SUCCESS, schema.REJECTED, schema.SUCCESS, schema.SUCCESS]
    path = write_table(tmp_path / "t", *cosines_as([0.1] * 6), status=status, length=[9, 1, 2, 8, 3, 4])
    result, kept = keep(path, tmp_path / "best", "length", top_fraction=0.5)
    assert (result.rows, result.scored, result.kept, rows_kept(kept)) == (4, 4, 2, [4, 5])
    result, kept = keep(path, tmp_path / "above", "length", min=2)
    assert (result.rows, result.scored, result.kept, rows_kept(kept)) == (4, 4, 3, [2, 4, 5])


def test_a_score_may_have_a_name_that_sql_would_not_take_bare(tmp_path: Path) -> None:
    write_table(tmp_path / "t", *cosines_as([0.1, 0.2]), **{"clip B/32 score": [-3.0, -1.5]})
    _, kept = keep(tmp_path / "t", tmp_path / "out", "clip B/32 score", min=-1.5)
    assert rows_kept(kept) == [1]


def test_an_infinite_score_is_none(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t", *cosines_as([0.1] * 5), quality=[-math.inf, 2.0, math.inf, 1.0, None])
    result, kept = keep(path, tmp_path / "all", "quality", top_fraction=1)
    assert (result.rows, result.scored, result.threshold, rows_kept(kept)) == (5, 2, 1.0, [1, 3])
    assert rows_kept(keep(path, tmp_path / "best", "quality", top_fraction=0.5)[1]) == [1]
    assert rows_kept(keep(path, tmp_path / "above", "quality", min=1.5)[1]) == [1]


def test_a_group_of_nulls_alone_has_its_cut(languages: Path, tmp_path: Path) -> None:
    result, kept = keep(languages, tmp_path / "out", top_fraction=1, per="lang", where="lang IS NULL")
    assert ([group.value for group in result.groups], rows_kept(kept)) == ([None], [7])


def test_ties_of_whole_numbers_go_to_the_smaller_uids(languages: Path, tmp_path: Path) -> None:
    _, kept = keep(languages, tmp_path / "out", "quality", top_fraction=0.2)
    assert rows_kept(kept) == [min((1, 2), key=lambda row: uids(8)[row])]


def test_each_group_has_a_cut_of_its_own(languages: Path, tmp_path: Path) -> None:
    result, kept = keep(languages, tmp_path / "out", top_fraction=0.5, per="lang")
    assert rows_kept(kept) == [4, 5, 6]
    assert [(group.value, group.rows, group.kept) for group in result.groups] == [
        ("en", 4, 2),
        ("fr", 3, 1),
        (None, 1, 0),
    ]
    assert result.threshold is None
    assert result.groups[1].threshold == pytest.approx(0.6, abs=1e-3)


def test_groups_are_made_by_values_of_a_column(languages: Path, tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"no column 'weight' of strings, integers or booleans"):
        keep(languages, tmp_path / "out", min=0.0, per="weight")


def test_thresholds_of_an_earlier_filter_cut_another_table_alike(languages: Path, tmp_path: Path) -> None:
    keep(languages, tmp_path / "first", top_fraction=0.5, per="lang")
    grown = write_table(tmp_path / "grown", *cosines_as([0.65, 0.55, 0.65, 0.35]), lang=["en", "en", "fr", "fr"])
    manifest = tmp_path / "first.siglane" / "manifest.json"
    _, kept = keep(grown, tmp_path / "out", threshold_from=manifest, per="lang")
    assert rows_kept(kept) == [0, 1, 2]  # what reaches 0.5 of `en` and 0.6 of `fr`
    with pytest.raises(UsageError, match=r"that filter used --per lang; give --per lang"):
        keep(grown, tmp_path / "more", threshold_from=manifest)
    with pytest.raises(UsageError, match=r"that filter used --by cosine; give --by cosine"):
        keep(grown, tmp_path / "more", by="logit", threshold_from=manifest, per="lang")
    other = write_table(tmp_path / "other", *cosines_as([0.65]), lang=["de"])
    with pytest.raises(TableError, match="rows with lang 'de': the manifest has no threshold for them"):
        keep(other, tmp_path / "more", threshold_from=manifest, per="lang")


def test_thresholds_of_another_models_scores_are_refused(languages: Path, scored: Path, tmp_path: Path) -> None:
    keep(scored, tmp_path / "first", min=0.0)
    with pytest.raises(
        UsageError, match=r"scores were made with weights .*; thresholds of one model do not fit another"
    ):
        keep(languages, tmp_path / "out", threshold_from=tmp_path / "first.siglane" / "manifest.json")
    (tmp_path / "no.json").write_text("{}")
    with pytest.raises(UsageError, match="not a filter's manifest"):
        keep(languages, tmp_path / "out", threshold_from=tmp_path / "no.json")


def test_the_state_that_was_filtered_is_tagged_and_survives_a_cleanup(languages: Path, tmp_path: Path) -> None:
    result, _ = keep(languages, tmp_path / "out", min=0.35)
    manifest = json.loads((tmp_path / "out.siglane" / "manifest.json").read_text())
    assert manifest["tag"] == result.tag == f"filter-{manifest['table_version']}"
    dataset = lance.dataset(f"{languages}.lance")
    dataset.delete("CAST(key AS INT) > 3")
    dataset.cleanup_old_versions(timedelta(0), delete_unverified=True, error_if_tagged_old_versions=False)
    again, kept = keep(languages.with_name(f"languages@{result.tag}"), tmp_path / "again", min=0.35)
    assert (again.tag, rows_kept(kept)) == (result.tag, [3, 4, 5, 6, 7])


def test_datacomps_subset_is_as_its_resharder_reads_it(languages: Path, tmp_path: Path) -> None:
    selection = Selection(one_cut("cosine", min=0.35))
    opened = table.open_table(table.parse(str(languages)))
    filter_table(opened, selection, tmp_path / "out", written_as("datacomp"), tag=False)
    rows = [row for row in rows_of(languages).values() if row["cosine"] >= 0.35]
    uids = [row["uid"] for row in rows]
    reference = np.array([(int(uid[:16], 16), int(uid[16:32], 16)) for uid in uids], np.dtype("u8,u8"))
    reference.sort()
    subset = np.load(tmp_path / "out" / "subset.npy")
    assert subset.dtype == np.dtype("u8,u8")
    assert np.array_equal(subset, reference)
    metadata = pq.read_table(tmp_path / "out" / "metadata").to_pylist()
    assert sorted(row["uid"] for row in metadata) == sorted(uids)
    scores = {f"clip_{model}_similarity_score" for model in ("siglip", "l14", "b32")}
    assert set(metadata[0]) == {"uid", "text", "original_width", "original_height"} | scores
    assert all(len({row[name] for name in scores}) == 1 for row in metadata)
    assert {row["uid"]: row["text"] for row in metadata} == {row["uid"]: row["caption"] for row in rows}


def test_uids_of_large_numbers_and_repeated_ones_stay_what_they_are(tmp_path: Path) -> None:
    uids = ["ff" * 16, "80" + "0" * 30, "0" * 15 + "1" + "f" * 16, "ff" * 16]
    write_table(tmp_path / "t", *cosines_as([0.5] * 4), uid=uids)
    selection = Selection(one_cut("cosine", min=0.0))
    opened = table.open_table(table.parse(str(tmp_path / "t")))
    filter_table(opened, selection, tmp_path / "out", written_as("datacomp"))
    pairs = [tuple(map(int, pair)) for pair in np.load(tmp_path / "out" / "subset.npy").tolist()]
    assert pairs == sorted((int(uid[:16], 16), int(uid[16:], 16)) for uid in uids)


def test_a_subset_of_nothing_is_an_empty_one(languages: Path, tmp_path: Path) -> None:
    opened = table.open_table(table.parse(str(languages)))
    filter_table(opened, Selection(one_cut("cosine", min=2.0)), tmp_path / "out", written_as("datacomp"))
    assert np.load(tmp_path / "out" / "subset.npy").tolist() == []


def flagged(path: Path, name: str = "good") -> list[object]:
    return [row[name] for _, row in sorted(rows_of(path).items())]


def test_the_verdict_becomes_a_column(languages: Path, tmp_path: Path) -> None:
    opened = table.open_table(table.parse(str(languages)))
    selection = Selection(one_cut("quality", top_fraction=0.5), where="CAST(key AS INT) > 1")
    filter_table(opened, selection, tmp_path / "out", flag="good")
    # the best two of 9, 2, 7, 1 and 3
    assert flagged(languages) == [False, False, True, False, True, False, False, False]
    opened = table.open_table(table.parse(str(languages)))
    filter_table(opened, Selection(one_cut("quality", min=5), per="lang"), tmp_path / "more", flag="good")
    assert flagged(languages) == [True, True, True, False, True, False, False, False]
    assert json.loads((tmp_path / "more.siglane" / "manifest.json").read_text())["flag"] == "good"


def test_rows_that_come_while_a_filter_writes_are_judged_by_its_cuts(languages: Path, tmp_path: Path) -> None:
    """Those of a value that had no cut are not kept."""
    late = {"lang": ["de", "en", "en"], "quality": pa.array([9, 9, 0], pa.int64()), "weight": [0.0] * 3}
    sources = {"source": ["late.parquet"] * 3, "source_row": [0, 1, 2]}
    other = write_table(tmp_path / "late", *cosines_as([0.1] * 3), **sources, **late)

    class WithLateRows:
        def columns(self, searched: table.Table) -> pa.Schema:
            return parquet_parts.columns(searched)

        def write(self, searched: table.Table, batches: Iterable[pa.RecordBatch], folder: Path) -> None:
            parquet_parts.write_parts(batches, self.columns(searched), folder)
            lance.write_dataset(lance.dataset(f"{other}.lance").to_table(), f"{languages}.lance", mode="append")

    opened = table.open_table(table.parse(str(languages)))
    selection = Selection(one_cut("quality", min=5), per="lang", where="lang IS NOT NULL")
    filter_table(opened, selection, tmp_path / "out", Output("late", WithLateRows()), flag="good")
    good = {place: row["good"] for place, row in rows_of(languages).items() if place[0] == "late.parquet"}
    assert [good["late.parquet", row] for row in range(3)] == [False, True, False]


def test_a_column_of_the_tables_own_is_no_flag(languages: Path, tmp_path: Path) -> None:
    opened = table.open_table(table.parse(str(languages)))
    for name in ("cosine", "a b", "_rowid"):
        with pytest.raises(UsageError, match="a new column cannot have this name"):
            filter_table(opened, Selection(one_cut("cosine", min=0.0)), tmp_path / "out", flag=name)
    with pytest.raises(UsageError, match="flag 'lang': the table has a column of that name with type string"):
        filter_table(opened, Selection(one_cut("cosine", min=0.0)), tmp_path / "out", flag="lang")
    assert opened.version == table.open_table(table.parse(str(languages))).version
    fixed = table.open_table(table.parse(f"{languages}@{opened.version}"))
    with pytest.raises(UsageError, match="a fixed version cannot be flagged"):
        filter_table(fixed, Selection(one_cut("cosine", min=0.0)), tmp_path / "out", flag="good")
    assert [path.name for path in tmp_path.iterdir()] == ["languages.lance"]


@pytest.mark.parametrize("selected_by", [{"where": "GOOD OR lang = 'en'"}, {"per": "good"}])
def test_a_flag_is_not_filled_from_what_it_held_itself(
    languages: Path, tmp_path: Path, selected_by: dict[str, str]
) -> None:
    """Its rows are chosen while it is written: what is written first would choose others."""
    opened = table.open_table(table.parse(str(languages)))
    filter_table(opened, Selection(one_cut("cosine", min=0.35)), tmp_path / "out", flag="good")
    before = flagged(languages)
    opened = table.open_table(table.parse(str(languages)))
    with pytest.raises(UsageError, match=r"flag 'good': --(where|per) reads the same column"):
        filter_table(opened, Selection(one_cut("cosine", min=0.55), **selected_by), tmp_path / "more", flag="good")  # type: ignore[arg-type]
    assert flagged(languages) == before
    result, _ = keep(languages, tmp_path / "again", min=0.55, where="good", per="good")
    assert result.kept == 3


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A table of 3,000 pairs of two languages with 10 % and 50 % of wrong captions; which rows are wrong."""
    parts = [simulated(1504, wrong, seed) for seed, wrong in ((1, 0.1), (2, 0.5))]
    images, texts = (
        np.concatenate([getattr(pairs, name) for pairs, _ in parts]) for name in ("image_vectors", "text_vectors")
    )
    path = tmp_path_factory.mktemp("noisy") / "t"
    few = [str(row % 7) if row < 1504 else "many" for row in range(3008)]
    write_table(path, images, texts, lang=["en"] * 1504 + ["fr"] * 1504, few=few)
    return path, np.concatenate([wrong for _, wrong in parts])


@pytest.mark.parametrize("by", ["cosine", "logit", "probability"])
def test_a_mismatch_fraction_is_kept_per_group_whatever_the_score(
    noisy: tuple[Path, np.ndarray], tmp_path: Path, by: str
) -> None:
    path, wrong = noisy
    result, kept = keep(path, tmp_path / "out", by, max_mismatch_fraction=0.05, per="lang")
    rows = np.array(rows_kept(kept))
    for group, language in zip(result.groups, (rows < 1504, rows >= 1504), strict=True):
        assert 0.03 < wrong[rows[language]].mean() < 0.07
        assert group.estimate is not None
        assert group.estimate["mismatch_fraction"] <= 0.05
        assert group.kept > 0.9 * (group.rows - wrong[:1504].sum() if group.value == "en" else 752)
    manifest = json.loads((tmp_path / "out.siglane" / "manifest.json").read_text())
    assert manifest["mismatch_fraction"] == result.mismatch_fraction
    low, high = manifest["mismatch_interval"]
    assert low < manifest["mismatch_fraction"] < high
    assert manifest["groups"][1]["estimate"].keys() >= {"pi0", "interval", "assumes", "pairs"}
    assert (manifest["wrong_captions"], manifest["assumes"], manifest["contradicted"]) == ("random", "random", False)
    assert manifest["mismatch_fraction"] < manifest["mismatch_upper_any"] < 1
    assert manifest["seed"] == 0


def test_what_cannot_be_told_of_one_group_writes_nothing(noisy: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    few = "lang = 'en' OR CAST(key AS INT) < 1600"
    with pytest.raises(EstimateError, match=r"of the pairs with lang 'fr' cannot be estimated: there are 96 pairs"):
        keep(noisy[0], tmp_path / "out", max_mismatch_fraction=0.05, per="lang", where=few)
    assert list(tmp_path.iterdir()) == []


def test_groups_with_too_few_pairs_have_one_cut_together(noisy: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    path, _ = noisy
    result, _ = keep(path, tmp_path / "out", max_mismatch_fraction=0.05, per="few")
    *pooled, many = result.groups
    assert len(pooled) == 7
    assert all(group.estimate == pooled[0].estimate and group.threshold == pooled[0].threshold for group in pooled)
    assert pooled[0].estimate is not None
    assert many.estimate is not None
    assert (pooled[0].estimate["groups"], pooled[0].estimate["pairs"]) == (7, 1504)
    assert (many.estimate["groups"], many.estimate["pairs"]) == (1, 1504)


def test_a_cut_by_the_bound_is_stricter(noisy: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    path, wrong = noisy
    random, _ = keep(path, tmp_path / "random", max_mismatch_fraction=0.05)
    result, kept = keep(path, tmp_path / "any", max_mismatch_fraction=0.05, wrong_captions="any")
    assert wrong[rows_kept(kept)].mean() < 0.05
    assert result.kept < random.kept
    assert (result.assumes, result.mismatch_fraction) == ("any", result.mismatch_upper_any)


def test_a_normalised_score_is_cut_by_its_own_decoys(noisy: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    path, wrong = noisy
    for _ in scoring.fill_signal(table.parse(str(path)), "normalised_score"):
        pass
    result, kept = keep(path, tmp_path / "out", "normalised_score", max_mismatch_fraction=0.05)
    assert wrong[rows_kept(kept)].mean() < 0.07
    assert result.kept > 0.95 * (~wrong).sum()


def test_a_threshold_of_normalised_scores_is_not_used_in_a_table_of_another_size(tmp_path: Path) -> None:
    for name, count in (("large", 400), ("small", 200)):
        pairs, _ = simulated(count, 0.3, seed=1)
        path = write_table(tmp_path / name, pairs.image_vectors, pairs.text_vectors)
        for _ in scoring.fill_signal(table.parse(str(path)), "normalised_score"):
            pass
    keep(tmp_path / "large", tmp_path / "out", "normalised_score", top_fraction=0.5)
    again = {"threshold_from": tmp_path / "out"}
    assert keep(tmp_path / "large", tmp_path / "again", "normalised_score", **again)[0].kept == 200
    with pytest.raises(UsageError, match=r"compare each pair with 400 others, but those of table .* with 200"):
        keep(tmp_path / "small", tmp_path / "other", "normalised_score", **again)


def test_the_best_by_q_value_are_not_those_with_the_highest(noisy: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    path, wrong = noisy
    for _ in scoring.fill_signal(table.parse(str(path)), "q_value"):
        pass
    with pytest.raises(UsageError, match=r"'q_value': good pairs have small values, .*; give --max, or rank by cosine"):
        keep(path, tmp_path / "out", "q_value", top_fraction=0.3)
    result, kept = keep(path, tmp_path / "out", "q_value", max=0.05)
    assert wrong[rows_kept(kept)].mean() < 0.07
    assert result.fit is not None
    assert result.fit.how.assumes == "random"


def test_normalised_scores_of_a_smaller_table_are_not_compared_with_decoys_of_the_grown_one(tmp_path: Path) -> None:
    pairs, wrong = simulated(2000, 0.3, seed=1)
    rows = np.random.default_rng(0).permutation(2000)
    images, texts = pairs.image_vectors[rows], pairs.text_vectors[rows]
    small = write_table(tmp_path / "small", images[:400], texts[:400])
    assert sum(scoring.fill_signal(table.parse(str(small)), "normalised_score")) == 400
    earlier = {int(row["key"]): row["normalised_score"] for row in rows_of(small).values()}
    of_grown = pa.array([earlier.get(row) for row in range(2000)], pa.float32())
    grown = write_table(tmp_path / "grown", images, texts, normalised_score=of_grown)
    with pytest.raises(EstimateError, match="computed when it had other pairs; run `siglane score --signal normal"):
        keep(grown, tmp_path / "out", "normalised_score", max_mismatch_fraction=0.05)
    assert sum(scoring.fill_signal(table.parse(str(grown)), "normalised_score", again=True)) == 2000
    _, kept = keep(grown, tmp_path / "out", "normalised_score", max_mismatch_fraction=0.05)
    assert wrong[rows][rows_kept(kept)].mean() < 0.07


def test_a_mismatch_fraction_is_of_scores_that_decoys_can_have(languages: Path, tmp_path: Path) -> None:
    with pytest.raises(TableError, match="'quality': it cannot be computed for captions of other images"):
        keep(languages, tmp_path / "out", "quality", max_mismatch_fraction=0.05)

"""Scores from stored vectors, and what a cut through them keeps."""

from __future__ import annotations

import json
from pathlib import Path

import lance
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import siglip_core
from pipeline import scoring, table
from pipeline.errors import TableError, UsageError
from pipeline.filtering import Filtered, Selection, filter_table
from pipeline.filters import top_fraction
from tests.embedding import embed
from tests.rows import rows_of
from tests.samples import jpeg, write_parquet, write_photos


@pytest.fixture
def scored(tmp_path: Path, model: Path) -> Path:
    """A table of 20 scored pairs, of which the last four are one pair, and one reject."""
    images = [jpeg(min(i, 16)) for i in range(20)]
    captions = [f"caption {min(i, 16)}" for i in range(20)]
    write_parquet(tmp_path / "in.parquet", [*images, b"broken"], [*captions, "x"])
    embed(tmp_path / "in.parquet", tmp_path / "t", model)
    assert list(scoring.score_table(table.parse(str(tmp_path / "t")))) == [20]
    return tmp_path / "t"


def keep(scored: Path, output: Path, by: str = "cosine", **cut: object) -> tuple[Filtered, list[dict[str, object]]]:
    selection = Selection(by, **cut)  # type: ignore[arg-type]
    result = filter_table(table.open_table(table.parse(str(scored))), selection, output)
    return result, pq.ParquetDataset(sorted(output.glob("*.parquet"))).read().to_pylist()


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
    result, kept = keep(scored, tmp_path / "out", minimum=cosines[5])
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
    assert top_fraction.cut(scores, 0.29).threshold == 71.0


def test_ties_at_the_cut_go_to_the_smaller_uids() -> None:
    cut = top_fraction.cut(np.array([3, 1, 1, 1, 0], np.float32), 0.6)
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
        keep(scored, tmp_path / "out", minimum=0.0, where="nope > 3")
    assert not (tmp_path / "out").exists()


def test_the_artefact_has_a_manifest_and_leaves_vectors_out(scored: Path, tmp_path: Path) -> None:
    _, kept = keep(scored, tmp_path / "out", top_fraction=0.25)
    assert set(kept[0]) >= {"uid", "key", "source", "source_row", "caption", "cosine", "logit", "probability"}
    assert not set(kept[0]) & {"image_vector", "text_vector", "error_message"}
    manifest = json.loads((tmp_path / "out" / "_manifest.json").read_text())
    assert (manifest["by"], manifest["top_fraction"], manifest["kept"], manifest["scored"]) == ("cosine", 0.25, 5, 20)
    assert manifest["table_version"] == lance.dataset(f"{scored}.lance").version
    assert len(pd.read_parquet(tmp_path / "out")) == 5  # the folder is read whole, manifest and all
    assert manifest["identity"]["weights"] == table.open_table(table.parse(str(scored))).identity.weights


def test_an_output_that_is_there_is_not_touched(scored: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="is there already"):
        keep(scored, tmp_path / "out", minimum=0.0)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_table_without_scores_is_refused_with_the_mend(tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 2)
    embed(tmp_path / "in", tmp_path / "t", model)
    with pytest.raises(TableError, match="none of the 2 rows has a cosine; run `siglane score"):
        keep(tmp_path / "t", tmp_path / "out", minimum=0.0)


def test_a_fixed_state_of_the_table_can_be_filtered(scored: Path, tmp_path: Path) -> None:
    version = table.open_table(table.parse(str(scored))).version
    result, _ = keep(scored.with_name(f"t@{version}"), tmp_path / "out", minimum=-1.0)
    assert result.kept == 20
    with pytest.raises(TableError, match="has no state 99"):
        keep(scored.with_name("t@99"), tmp_path / "more", minimum=-1.0)

"""`verify` on tables that were damaged on purpose, through Lance itself: found, mended, and embedded again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pytest

from pipeline import schema, scoring, table
from pipeline.table import compact
from pipeline.verify import Report, VerifyOptions, verify
from pipeline.verify.storage import check_files
from pipeline.verify.uniqueness import check_ledger_keys, check_uids
from tests.embedding import embed
from tests.rows import assert_same_rows, rows_of
from tests.samples import jpeg, write_parquet

PAIRS, BROKEN = 30, (4, 21)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two Parquet files of fifteen pairs, two of them broken."""
    folder = tmp_path_factory.mktemp("photos")
    images = [b"no image" if number in BROKEN else jpeg(number) for number in range(PAIRS)]
    for file in range(2):
        part = range(file * 15, file * 15 + 15)
        write_parquet(folder / f"{file}.parquet", [images[n] for n in part], [f"caption {n}" for n in part])
    return folder


@pytest.fixture(scope="session")
def sound(photos: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of them, scored, in several fragments, with an index."""
    place = tmp_path_factory.mktemp("sound") / "t"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(compact, "ROWS_PER_FRAGMENT", 10)
        embed(photos, place, model, commit_seconds=0, batch_size=8)
    list(scoring.score_table(table.parse(str(place))))
    lance.dataset(f"{place}.lance").create_scalar_index("uid", "BTREE")
    return place


@pytest.fixture
def damaged(sound: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    shutil.copytree(f"{sound}.lance", tmp_path / "t.lance")
    return tmp_path / "t"


def checked(place: Path, **options: Any) -> Report:
    return verify(VerifyOptions.model_validate({"table": str(place), **options}))


def found(report: Report) -> dict[str, int]:
    return {problem.check: problem.count for problem in report.problems}


def dataset(place: Path) -> Any:
    return lance.dataset(f"{place}.lance")


def change(place: Path, where: str, edit: Callable[[dict[str, Any]], None]) -> None:
    """Rewrites the rows that meet `where`, in place."""
    rows = dataset(place).to_table(filter=where)
    assert rows.num_rows
    edited = rows.to_pylist()
    for row in edited:
        edit(row)
    dataset(place).delete(where)
    lance.write_dataset(pa.Table.from_pylist(edited, rows.schema), f"{place}.lance", mode="append")


def set_to(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda row: row.update(values)


def scaled(factor: float) -> Callable[[dict[str, Any]], None]:
    return lambda row: row.update(image_vector=[number * factor for number in row["image_vector"]])


def spoilt(value: float) -> Callable[[dict[str, Any]], None]:
    return lambda row: row.update(text_vector=[value, *row["text_vector"][1:]])


def turned_to(cosine: float) -> Callable[[dict[str, Any]], None]:
    """Replaces the image's vector by one of length 1 with this cosine to it."""

    def turn(row: dict[str, Any]) -> None:
        vector = np.array(row["image_vector"], np.float64)
        across = np.eye(len(vector))[0] - vector[0] * vector
        across /= np.linalg.norm(across)
        row["image_vector"] = (cosine * vector + (1 - cosine**2) ** 0.5 * across).tolist()

    return turn


AT = "source = '0.parquet' AND source_row = 7"
REJECT = "source = '0.parquet' AND source_row = 4"
UNSCORED = {"cosine": None, "logit": None, "probability": None}


def test_a_sound_table_is_well_in_every_respect(sound: Path, photos: Path) -> None:
    before = dataset(sound).version
    report = checked(sound, input=str(photos), sample=6)
    assert report.problems == []
    assert report.not_checked == {}
    assert (report.rows, report.sampled, report.version) == (PAIRS, 6, before)
    assert report.sources == {
        **{"in_table": 2, "whole": 2, "incomplete": 0, "unknown_size": 0},
        **{"in_input": 2, "new": 0, "not_in_input": 0},
    }
    assert {"files", "unit-vectors", "ledger-keys", "uids", "sample", "indexes", "new-sources"} <= set(report.checked)


def test_a_fixed_version_is_checked_and_never_changed(damaged: Path) -> None:
    change(damaged, AT, scaled(2))
    first = dataset(damaged).version
    assert found(checked(f"{damaged}@{first - 2}")) == {}
    assert "unit-vectors" in found(checked(f"{damaged}@{first}"))
    with pytest.raises(Exception, match="fixed version cannot be changed"):
        checked(f"{damaged}@{first}", repair=True)


ROW_DAMAGE = [
    ("status-values", AT, set_to(status="done")),
    ("uid-format", AT, set_to(uid="7")),
    ("success-rows", AT, set_to(image_vector=None, **UNSCORED)),
    ("success-rows", AT, set_to(text_vector=None, **UNSCORED)),
    ("success-rows", AT, set_to(reason="decode")),
    ("rejected-rows", REJECT, set_to(reason=None)),
    ("rejected-rows", REJECT, set_to(stage=None)),
    ("rejected-rows", REJECT, set_to(image_vector=[0.0] * 95 + [1.0])),
    ("unit-vectors", AT, lambda row: (scaled(1.003)(row), row.update(UNSCORED))),
    ("unit-vectors", AT, lambda row: (scaled(0)(row), row.update(UNSCORED))),
    ("finite-vectors", AT, lambda row: (spoilt(np.nan)(row), row.update(UNSCORED))),
    ("finite-vectors", AT, lambda row: (spoilt(np.inf)(row), row.update(UNSCORED))),
]


@pytest.mark.parametrize(("check", "where", "edit"), ROW_DAMAGE)
def test_a_damaged_row_is_found_deleted_and_embedded_again(
    damaged: Path,
    sound: Path,
    photos: Path,
    model: Path,
    check: str,
    where: str,
    edit: Callable[[dict[str, Any]], None],
) -> None:
    change(damaged, where, edit)
    report = checked(damaged)
    assert found(report) == {check: 1, "indexes": 1}
    (problem,) = (problem for problem in report.problems if problem.check == check)
    assert problem.examples == (f"0.parquet row {7 if where == AT else 4}",)

    repaired = checked(damaged, repair=True)
    assert [(mended.check, mended.repaired.how) for mended in repaired.mended] == [(check, "rows deleted: 1")]
    assert found(repaired) == {"incomplete-sources": 1, "rows-to-embed": 1}
    assert dataset(damaged).count_rows() == PAIRS - 1

    assert embed(photos, damaged, model).total() == 1  # exactly the row that was deleted
    list(scoring.score_table(table.parse(str(damaged))))
    assert_same_rows(rows_of(damaged), rows_of(sound))
    assert found(checked(damaged, repair=True)) == {}


@pytest.mark.parametrize(
    "edit",
    [
        set_to(cosine=float("nan")),
        set_to(probability=1.5),
        set_to(logit=None),
        set_to(cosine=0.987),
        set_to(logit=float("inf")),
    ],
)
def test_wrong_scores_are_made_null_for_score_to_fill(
    damaged: Path, sound: Path, edit: Callable[[dict[str, Any]], None]
) -> None:
    change(damaged, AT, edit)
    assert found(checked(damaged)) == {"scores": 1, "indexes": 1}
    repaired = checked(damaged, repair=True)
    assert found(repaired) == {}
    assert repaired.mended[0].repaired.how == "cosine, logit, probability set to null; rows: 1"
    assert list(scoring.score_table(table.parse(str(damaged)))) == [1]
    assert rows_of(damaged)["0.parquet", 7]["cosine"] == rows_of(sound)["0.parquet", 7]["cosine"]


def test_imported_images_may_come_without_vectors_of_their_captions(damaged: Path) -> None:
    change(damaged, AT, set_to(image_sha256=None, text_vector=None, **UNSCORED))
    assert found(checked(damaged)) == {"indexes": 1}


def test_a_tombstone_that_holds_values_is_emptied_never_deleted(damaged: Path, photos: Path, model: Path) -> None:
    change(damaged, AT, set_to(status=schema.REMOVED))
    assert found(checked(damaged)) == {"removed-rows": 1, "scores": 1, "indexes": 1}
    assert found(checked(damaged, repair=True)) == {}
    row = rows_of(damaged)["0.parquet", 7]
    assert row["status"] == "removed"
    assert [row[name] for name in ("caption", "image_vector", "text_vector", *schema.SCORES)] == [None] * 6
    assert embed(photos, damaged, model) == {}


def again(place: Path, where: str, **values: Any) -> None:
    """Appends copies of rows."""
    rows = dataset(place).to_table(filter=where)
    edited = [row | values for row in rows.to_pylist()]
    lance.write_dataset(pa.Table.from_pylist(edited, rows.schema), f"{place}.lance", mode="append")


def test_rows_that_are_there_twice_are_found_and_one_stays(
    damaged: Path, sound: Path, photos: Path, model: Path
) -> None:
    again(damaged, "source_row < 3")
    again(damaged, AT)
    report = checked(damaged)
    assert found(report) == {"ledger-keys": 7, "rows-beyond-source": 2, "indexes": 1}
    assert report.problems[0].examples[0] == "0.parquet row 0"
    repaired = checked(damaged, repair=True)
    assert found(repaired) == {}
    assert repaired.mended[0].repaired.how == "repeated rows deleted: 7"
    assert_same_rows(rows_of(damaged), rows_of(sound))
    assert embed(photos, damaged, model) == {}


@pytest.mark.parametrize(("status", "kept"), [(schema.REMOVED, schema.REMOVED), (schema.REJECTED, schema.SUCCESS)])
def test_of_rows_of_one_sample_a_removal_stays_first_then_what_is_embedded(
    damaged: Path, status: str, kept: str
) -> None:
    values = {"status": status, "image_vector": None, "text_vector": None, "caption": None, **UNSCORED}
    again(damaged, AT, **values, **({"stage": "read", "reason": "x"} if status == schema.REJECTED else {}))
    checked(damaged, repair=True)
    assert rows_of(damaged)["0.parquet", 7]["status"] == kept


def test_large_tables_are_searched_for_repeats_in_several_passes(
    damaged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again(damaged, "source_row < 3", uid="f" * 32)
    opened = table.open_table(table.parse(str(damaged)))
    whole = [(problem.check, problem.count, problem.examples) for problem in check_ledger_keys(opened)]
    monkeypatch.setattr("pipeline.verify.uniqueness.ROWS_PER_PASS", 5)
    assert [(problem.check, problem.count, problem.examples) for problem in check_ledger_keys(opened)] == whole
    (shared,) = check_uids(opened)
    assert (shared.count, shared.examples, shared.repair) == (5, ("f" * 32,), None)


def test_rows_that_are_missing_are_counted_against_their_source(damaged: Path, photos: Path, model: Path) -> None:
    dataset(damaged).delete("source = '1.parquet' AND source_row > 11")
    report = checked(damaged, repair=True)
    assert found(report) == {"incomplete-sources": 1}
    assert report.problems[0].examples == ("1.parquet: 12 of 15",)
    assert embed(photos, damaged, model).total() == 3
    assert found(checked(damaged, repair=True)) == {}


def test_an_input_that_is_another_by_now_is_named(sound: Path, photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos, tmp_path / "in")
    shutil.copy2(photos / "0.parquet", tmp_path / "in" / "2.parquet")
    write_parquet(tmp_path / "in" / "1.parquet", [jpeg(1)], ["another"])
    write_parquet(tmp_path / "in" / "empty.parquet", [], [])
    (tmp_path / "in" / "0.parquet").unlink()
    report = checked(sound, input=str(tmp_path / "in"))
    assert {problem.check: problem.examples for problem in report.problems} == {
        "changed-sources": ("1.parquet",),
        "new-sources": ("2.parquet", "empty.parquet"),
    }
    assert (report.sources["new"], report.sources["not_in_input"]) == (2, 1)


def test_copies_are_no_changes_and_a_source_without_samples_is_not_missed(
    sound: Path, photos: Path, tmp_path: Path
) -> None:
    shutil.copytree(photos, tmp_path / "in", copy_function=shutil.copyfile)  # with other times
    write_parquet(tmp_path / "in" / "empty.parquet", [], [])
    report = checked(sound, input=str(tmp_path / "in"))
    assert report.problems == []
    assert report.sources["new"] == 1


def test_vectors_of_another_image_are_found_by_embedding_again(damaged: Path, photos: Path) -> None:
    other = rows_of(damaged)["0.parquet", 8]
    change(damaged, AT, set_to(image_vector=other["image_vector"], **UNSCORED))
    report = checked(damaged, input=str(photos), sample=PAIRS, repair=True)
    assert report.sampled == PAIRS - len(BROKEN)
    (problem,) = report.problems
    assert (problem.check, problem.count) == ("sample", 1)
    assert problem.examples[0].startswith("0.parquet row 7: image_vector has cosine ")


@pytest.mark.parametrize(("precision", "is_fault"), [("float32", True), ("bfloat16", False)])
def test_vectors_in_bfloat16_may_differ_by_its_rounding(
    photos: Path, model: Path, tmp_path: Path, precision: str, is_fault: bool
) -> None:
    """Another machine's layers round in other places: cosines of 0.9997 were seen."""
    embed(photos, tmp_path / "t", model, precision=precision)
    change(tmp_path / "t", AT, turned_to(0.9996))
    report = checked(tmp_path / "t", input=str(photos), sample=PAIRS, model=str(model))
    assert found(report) == ({"sample": 1} if is_fault else {})


def test_a_random_sample_is_the_same_for_the_same_seed(sound: Path, photos: Path) -> None:
    from pipeline.verify.counts import Input
    from pipeline.verify.embedded_again import draw

    listed = Input.list(VerifyOptions(table=str(sound), input=(str(photos),)))
    opened = table.open_table(table.parse(str(sound)))
    draws = [draw(opened, listed, 10, seed) for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    statuses = opened.take(range(PAIRS), ["status"])["status"].to_pylist()
    assert all(statuses[position] == "success" for position in draws[0])
    assert len(set(draws[0])) == 10


def test_a_table_of_another_model_is_not_compared(sound: Path, photos: Path, other_model: Path) -> None:
    with pytest.raises(Exception, match="the table was made with"):
        checked(sound, input=str(photos), sample=1, model=str(other_model))


def test_an_index_that_lacks_rows_is_brought_up_to_date(damaged: Path) -> None:
    dataset(damaged).delete(AT)
    again(damaged, "source = '0.parquet' AND source_row = 6", source_row=7, uid="a" * 32)
    report = checked(damaged)
    assert [problem.examples for problem in report.problems] == [("uid_idx: lacks 1 row",)]
    assert found(checked(damaged, repair=True)) == {}
    assert dataset(damaged).stats.index_stats("uid_idx")["num_unindexed_rows"] == 0


@pytest.mark.parametrize("harm", [Path.unlink, lambda file: file.write_bytes(file.read_bytes()[:-100])])
def test_a_lost_or_cut_off_file_is_named_and_its_rows_embedded_again(
    damaged: Path, sound: Path, photos: Path, model: Path, harm: Callable[[Path], object]
) -> None:
    fragment = dataset(damaged).get_fragments()[1]
    harm(damaged.with_suffix(".lance") / "data" / fragment.data_files()[0].path)
    report = checked(damaged)
    assert found(report) == {"files": 1}
    assert report.not_checked == {"rows": "columns or files are missing or damaged"}
    assert fragment.data_files()[0].path in report.problems[0].examples[0]
    repaired = checked(damaged, repair=True)
    assert found(repaired)["rows-to-embed"] == fragment.count_rows()
    assert repaired.mended[0].repaired.how == f"fragments dropped: 1; rows in them: {fragment.count_rows()}"
    assert embed(photos, damaged, model).total() == fragment.count_rows()
    list(scoring.score_table(table.parse(str(damaged))))
    assert_same_rows(rows_of(damaged), rows_of(sound))


def test_a_file_whose_bytes_have_changed_is_named_and_its_rows_embedded_again(
    damaged: Path, sound: Path, photos: Path, model: Path
) -> None:
    fragment = dataset(damaged).get_fragments()[1]
    (stored, *_) = fragment.data_files()
    file = damaged.with_suffix(".lance") / "data" / stored.path
    data = bytearray(file.read_bytes())
    texts = data.index(b"caption ")
    data[texts : texts + 4] = b"\xff" * 4
    file.write_bytes(data)
    report = checked(damaged)
    assert found(report) == {"readable": 1}
    assert report.not_checked == {"rows": "columns or files are missing or damaged"}
    assert stored.path in report.problems[0].examples[0]
    repaired = checked(damaged, repair=True)
    assert found(repaired)["rows-to-embed"] == fragment.count_rows()
    assert "unit-vectors" in repaired.checked
    assert embed(photos, damaged, model).total() == fragment.count_rows()
    list(scoring.score_table(table.parse(str(damaged))))
    assert_same_rows(rows_of(damaged), rows_of(sound))


def test_a_fragment_whose_file_is_there_again_is_not_taken_out(damaged: Path) -> None:
    opened = table.open_table(table.parse(str(damaged)))
    file = damaged.with_suffix(".lance") / "data" / dataset(damaged).get_fragments()[1].data_files()[0].path
    file.rename(tmp := file.with_suffix(".away"))
    (problem,) = check_files(opened)
    tmp.rename(file)
    assert problem.repair is not None
    assert problem.repair().to_embed == 0
    assert dataset(damaged).count_rows() == PAIRS


@pytest.mark.parametrize("harm", [Path.unlink, lambda file: file.write_bytes(file.read_bytes()[:-100])])
def test_an_index_that_has_lost_a_file_is_named_and_taken_out(damaged: Path, harm: Callable[[Path], object]) -> None:
    harm(next((damaged.with_suffix(".lance") / "_indices").rglob("page_data.lance")))
    report = checked(damaged)
    assert [(problem.check, problem.examples) for problem in report.problems] == [
        ("indexes", ("uid_idx: some of its files are missing",))
    ]
    repaired = checked(damaged, repair=True)
    assert found(repaired) == {}
    assert [mended.repaired.how for mended in repaired.mended] == ["indexes dropped: uid_idx"]
    assert dataset(damaged).describe_indices() == []


def test_a_missing_column_is_named(damaged: Path) -> None:
    dataset(damaged).drop_columns(["reason"])
    report = checked(damaged, repair=True)
    assert [(problem.check, problem.examples) for problem in report.problems] == [("schema", ("reason is missing",))]


def test_a_table_of_which_every_row_is_damaged_is_embedded_whole_again(
    damaged: Path, sound: Path, photos: Path, model: Path
) -> None:
    change(damaged, "true", set_to(status="done"))
    repaired = checked(damaged, repair=True)
    assert repaired.mended[0].repaired.how == f"rows deleted: {PAIRS}"
    assert dataset(damaged).count_rows() == 0
    assert embed(photos, damaged, model, commit_seconds=0, batch_size=8).total() == PAIRS
    list(scoring.score_table(table.parse(str(damaged))))
    assert_same_rows(rows_of(damaged), rows_of(sound))

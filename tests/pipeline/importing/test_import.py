"""Vectors made elsewhere, in the layouts that other tools write, as rows of a table."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import scoring, search, table
from pipeline.errors import IdentityError, InputError, RowsLostError, TableError, UsageError
from pipeline.importing import Imported, ImportOptions, import_vectors, parts, run
from pipeline.sources import captions
from tests.faulty_proxy import faulty_proxy
from tests.rows import rows_of
from tests.s3 import S3, environment

D = 8
SCALE = {"logit_scale": 100.0, "logit_bias": -10.0}


def bring_in(folder: Path, **more: Any) -> Imported:
    options = {"input": str(folder), "table": str(folder.parent / "t"), **SCALE, **more}
    return import_vectors(ImportOptions.model_validate(options), lambda _: None)


def random_vectors(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, D)).astype(np.float32)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def clip_retrieval(folder: Path, files: int = 2, rows: int = 5) -> None:
    for name in ("img_emb", "text_emb", "metadata"):
        (folder / name).mkdir(parents=True)
    for file in range(files):
        np.save(folder / "img_emb" / f"img_emb_{file}.npy", random_vectors(rows, file).astype(np.float16))
        np.save(folder / "text_emb" / f"text_emb_{file}.npy", random_vectors(rows, 100 + file).astype(np.float16))
        columns = {"image_path": [f"{file}{row}" for row in range(rows)], "caption": [f"c{row}" for row in range(rows)]}
        pq.write_table(pa.table(columns), folder / "metadata" / f"metadata_{file}.parquet")


def test_extension_types_are_kept_as_what_they_are_stored_as(tmp_path: Path) -> None:
    clip_retrieval(tmp_path / "in", files=1, rows=2)
    file = tmp_path / "in" / "metadata" / "metadata_0.parquet"
    ids = [UUID(int=row) for row in range(2)]
    uuids = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([each.bytes for each in ids], pa.binary(16)))
    nested = pa.ListArray.from_arrays(pa.array([0, 1, 2]), uuids)
    pq.write_table(pq.read_table(file).append_column("id", uuids).append_column("ids", nested), file)
    bring_in(tmp_path / "in", keep_cols=("id", "ids"))
    rows = sorted(rows_of(tmp_path / "t").values(), key=lambda row: row["source_row"])
    assert [(row["id"], row["ids"]) for row in rows] == [(str(each), [each.bytes]) for each in ids]


def test_clip_retrievals_output(tmp_path: Path) -> None:
    clip_retrieval(tmp_path / "in")
    assert bring_in(tmp_path / "in", keep_cols=("image_path",)).outcomes == Counter({("success", None): 10})
    row = rows_of(tmp_path / "t")["metadata/metadata_1.parquet", 3]
    image = unit(random_vectors(5, 1).astype(np.float16).astype(np.float32))[3]
    np.testing.assert_allclose(row["image_vector"], image, atol=1e-3)
    assert (row["caption"], row["image_path"], row["source_rows"]) == ("c3", "13", 5)
    uri = table.parse(str(tmp_path / "t"))
    assert sum(scoring.score_table(uri)) == 10
    assert search.open(str(tmp_path / "t")).by_uid(row["uid"], k=1)[0].uid == row["uid"]


def test_a_table_in_a_bucket_is_written_only_where_the_store_keeps_it_whole(s3: S3, tmp_path: Path) -> None:
    clip_retrieval(tmp_path / "in")
    bucket = s3.bucket()
    with faulty_proxy(s3.port) as proxy, environment(proxy.url):
        proxy.fail("unconditional", method="PUT")
        with pytest.raises(UsageError, match="its store ignores conditional writes"):
            bring_in(tmp_path / "in", table=f"{bucket}/db/t")
    assert s3.objects(bucket) == {}
    assert bring_in(tmp_path / "in", table=f"{bucket}/db/t").outcomes.total() == 10
    folders = {path.removeprefix("db/t.lance/").partition("/")[0] for path in s3.objects(f"{bucket}/db")}
    assert folders <= {"data", "_versions", "_transactions"}, "the probe was left"


def test_a_table_below_a_file_is_refused(tmp_path: Path) -> None:
    clip_retrieval(tmp_path / "in")
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UsageError, match="file: Not a directory; make the folder writable"):
        bring_in(tmp_path / "in", table=str(tmp_path / "file" / "t"))


def test_datacomps_archives_and_their_uids(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    uids = [f"{row:032x}" for row in range(4)]
    columns = {"uid": uids, "text": ["a", "b", "c", "d"], "original_width": [640] * 4, "original_height": [480] * 4}
    pq.write_table(pa.table(columns), tmp_path / "in" / "0.parquet")
    names = ("b32_img", "b32_txt", "l14_img", "l14_txt")
    arrays = {name: random_vectors(4, seed) for seed, name in enumerate(names)}
    np.savez_compressed(tmp_path / "in" / "0.npz", **arrays)
    bring_in(tmp_path / "in")
    rows = rows_of(tmp_path / "t")
    assert [row["uid"] for _, row in sorted(rows.items())] == uids
    np.testing.assert_allclose(rows["0.parquet", 2]["text_vector"], unit(arrays["l14_txt"])[2], atol=1e-3)
    assert (rows["0.parquet", 2]["caption"], rows["0.parquet", 2]["original_width"]) == ("c", 640)
    bring_in(tmp_path / "in", image_vector_col="b32_img", table=str(tmp_path / "b"))
    np.testing.assert_allclose(
        rows_of(tmp_path / "b")["0.parquet", 2]["text_vector"], unit(arrays["b32_txt"])[2], atol=1e-3
    )


def write_columns(path: Path, vectors: list[list[float] | None], **more: list[Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    columns = {
        "key": [f"k{row}" for row in range(len(vectors))],
        "v": pa.array(vectors, pa.list_(pa.float64())),
        **more,
    }
    pq.write_table(pa.table(columns), path)


def test_a_vector_without_a_direction_is_a_rejected_row(tmp_path: Path) -> None:
    write_columns(tmp_path / "in" / "a.parquet", [[3.0, 4.0], [0.0, 0.0], [float("nan"), 1.0], None])
    found = bring_in(tmp_path / "in", image_vector_col="v")
    assert found.outcomes == Counter({("success", None): 1, ("rejected", "bad-vector"): 3})
    assert found.reject_examples["bad-vector"].startswith("a.parquet row 1: ")
    rows = [row for _, row in sorted(rows_of(tmp_path / "t").items())]
    np.testing.assert_allclose(rows[0]["image_vector"], [0.6, 0.8], atol=1e-3)
    assert [row["image_vector"] for row in rows[1:]] == [None] * 3
    assert [row["error_message"] for row in rows[1:3]] == [
        "the vector is all zeros",
        "the vector is null, or contains NaN or infinity",
    ]
    assert [row["key"] for row in rows] == ["k0", "k1", "k2", "k3"]


def test_a_file_of_null_vectors_alone_is_rejected_rows(tmp_path: Path) -> None:
    write_columns(tmp_path / "in" / "a.parquet", [[3.0, 4.0]])
    write_columns(tmp_path / "in" / "b.parquet", [None, None])
    found = bring_in(tmp_path / "in", image_vector_col="v")
    assert found.outcomes == Counter({("success", None): 1, ("rejected", "bad-vector"): 2})


def overwrite_column(path: Path, name: str) -> None:
    """Makes a column's pages unreadable, and leaves the others as they are."""
    metadata = pq.read_metadata(path).row_group(0)
    column = metadata.column([metadata.column(at).path_in_schema for at in range(metadata.num_columns)].index(name))
    start = min(column.dictionary_page_offset or column.data_page_offset, column.data_page_offset)
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\xff" * column.total_compressed_size)


def test_only_columns_that_are_wanted_are_read(tmp_path: Path) -> None:
    write_columns(tmp_path / "in" / "a.parquet", [[3.0, 4.0]], key=["k0"], image=[b"large"], caption=["a cat"])
    overwrite_column(tmp_path / "in" / "a.parquet", "image")
    bring_in(tmp_path / "in", image_vector_col="v")
    row = rows_of(tmp_path / "t")["a.parquet", 0]
    assert (row["key"], row["caption"]) == ("k0", "a cat")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    write_columns(tmp_path / "in" / "a.parquet", [[3.0, 4.0]])
    write_columns(tmp_path / "in" / "b.parquet", [[3.0, 4.0]])
    overwrite_column(tmp_path / "in" / "b.parquet", "key")
    with pytest.raises(InputError, match=r"^b.parquet: not readable as Parquet: "):
        bring_in(tmp_path / "in", image_vector_col="v")
    (tmp_path / "in" / "a.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match=r"^a.parquet: not readable as Parquet: "):
        bring_in(tmp_path / "in", image_vector_col="v", table=str(tmp_path / "new"))


def test_a_kept_value_of_another_type_in_a_later_file_is_null(tmp_path: Path) -> None:
    write_columns(tmp_path / "in" / "a.parquet", [[3.0, 4.0]], size=[7])
    write_columns(tmp_path / "in" / "b.parquet", [[3.0, 4.0]] * 2, size=["large", None])
    write_columns(tmp_path / "in" / "c.parquet", [[3.0, 4.0]], size=[8.0])
    bring_in(tmp_path / "in", image_vector_col="v", keep_cols=("size",))
    assert [row["size"] for _, row in sorted(rows_of(tmp_path / "t").items())] == [7, None, None, 8]


def test_a_caption_of_more_than_a_megabyte_is_a_rejected_row(tmp_path: Path) -> None:
    texts = ["x" * captions.MAX_BYTES, "ä" * (captions.MAX_BYTES // 2) + "x"]
    write_columns(tmp_path / "in" / "a.parquet", [[3.0, 4.0]] * 2, caption=texts)
    found = bring_in(tmp_path / "in", image_vector_col="v")
    assert found.outcomes == Counter({("success", None): 1, ("rejected", "caption-too-long"): 1})
    row = rows_of(tmp_path / "t")["a.parquet", 1]
    assert (row["caption"], row["image_vector"]) == (None, None)
    assert row["error_message"] == "a caption of 1048577 bytes, more than the limit of 1048576"


def test_files_that_differ_in_length_are_refused(tmp_path: Path) -> None:
    clip_retrieval(tmp_path / "in", files=1)
    np.save(tmp_path / "in" / "img_emb" / "img_emb_0.npy", random_vectors(6, 0))
    with pytest.raises(InputError, match=r"img_emb_0.npy: 6 vectors, but 5 rows in metadata/metadata_0.parquet"):
        bring_in(tmp_path / "in")
    (tmp_path / "in" / "img_emb" / "img_emb_0.npy").unlink()
    with pytest.raises(InputError, match=r"img_emb_0.npy is missing"):
        bring_in(tmp_path / "in")


def test_another_models_scale_is_another_identity(tmp_path: Path) -> None:
    clip_retrieval(tmp_path / "in")
    bring_in(tmp_path / "in")
    with pytest.raises(IdentityError, match=r"exp\(t\) 100.0"):
        bring_in(tmp_path / "in", logit_scale=50.0)


def test_an_import_that_was_stopped_goes_on_and_a_finished_one_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip_retrieval(tmp_path / "in", files=3, rows=10)
    monkeypatch.setattr(parts, "ROWS_PER_BATCH", 4)
    monkeypatch.setattr(run, "ROWS_PER_COMMIT", 8)
    commits: list[int] = []

    def stop_at_second(landed: Counter[Any]) -> None:
        commits.append(landed.total())
        if len(commits) == 2:
            raise KeyboardInterrupt

    options = ImportOptions.model_validate({"input": str(tmp_path / "in"), "table": str(tmp_path / "t"), **SCALE})
    with pytest.raises(KeyboardInterrupt):
        import_vectors(options, stop_at_second)
    there = len(rows_of(tmp_path / "t"))
    assert 8 <= there < 30
    again = import_vectors(options, lambda _: None)
    assert (again.skipped, again.outcomes.total()) == (there, 30 - there)
    assert len(rows_of(tmp_path / "t")) == 30
    version = table.open_table(table.parse(str(tmp_path / "t"))).version
    assert import_vectors(options, lambda _: None).skipped == 30
    assert len(rows_of(tmp_path / "t")) == 30
    assert table.open_table(table.parse(str(tmp_path / "t"))).version == version


def test_vectors_without_a_model_are_not_searched_by_text(tmp_path: Path, model: Path) -> None:
    """There is no model to load: the message names none, also where the user offers one."""
    clip_retrieval(tmp_path / "in", files=1)
    bring_in(tmp_path / "in")
    for offered in (None, str(model)):
        with pytest.raises(UsageError, match=r"its vectors were imported without one; import .* with --model"):
            search.open(str(tmp_path / "t"), offered).by_text("a dog")


def test_vectors_that_have_changed_since_are_refused(tmp_path: Path) -> None:
    clip_retrieval(tmp_path / "in", files=1)
    bring_in(tmp_path / "in")
    np.save(tmp_path / "in" / "text_emb" / "text_emb_0.npy", random_vectors(5, 9))
    with pytest.raises(InputError, match="have changed since they were imported"):
        bring_in(tmp_path / "in")


def test_a_row_that_gets_lost_is_reported_with_both_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip_retrieval(tmp_path / "in")
    batches = run._batches
    monkeypatch.setattr(run, "_batches", lambda *arguments: (rows[:-1] for rows in batches(*arguments)))
    with pytest.raises(RowsLostError, match="the input has 10 rows, but 8 are in the table"):
        bring_in(tmp_path / "in")
    assert len(rows_of(tmp_path / "t")) == 8
    monkeypatch.undo()
    assert bring_in(tmp_path / "in").outcomes.total() == 2


# Which rows show the same image.


def identities(folder: Path) -> list[str | None]:
    return [row["image_identity"] for _, row in sorted(rows_of(folder / "t").items())]


def four(path: Path, **more: Any) -> None:
    write_columns(path, [[3.0, 4.0], [3.0, 4.0], [4.0, 3.0], [0.0, 0.0]], **more)


IDS = {
    "texts": (["a.jpg", "a.jpg", "b.jpg", "c.jpg"], ["a.jpg", "a.jpg", "b.jpg", "c.jpg"]),
    "numbers": ([7, 7, 2**60, None], ["7", "7", str(2**60), None]),
    "bytes": (pa.array([b"x", b"x", b"y", None]), ["x", "x", "y", None]),
    "lists": ([["a"], ["a"], [], None], ['["a"]', '["a"]', "[]", None]),
    "large texts": (pa.array(["é", "é", "y", None], pa.large_string()), ["é", "é", "y", None]),
    "a dictionary": (pa.array(["x", "x", "y", None]).dictionary_encode(), ["x", "x", "y", None]),
    "blank ones": (["a", "", " ", None], ["a", None, None, None]),
}


@pytest.mark.parametrize("kind", IDS)
def test_a_column_says_which_rows_show_the_same_image(tmp_path: Path, kind: str) -> None:
    values, expected = IDS[kind]
    four(tmp_path / "in" / "a.parquet", photo=values)
    bring_in(tmp_path / "in", image_vector_col="v", image_id_col="photo", keep_cols=("photo",))
    assert identities(tmp_path) == expected
    stored = table.open_table(table.parse(str(tmp_path / "t"))).schema
    assert stored.field("image_identity").type == pa.string()
    assert "photo" in stored.names
    assert bring_in(tmp_path / "in", image_vector_col="v", image_id_col="photo", keep_cols=("photo",)).skipped == 4


def test_the_sha256_of_datacomp_and_img2dataset_is_such_a_column(tmp_path: Path) -> None:
    """Only where it is one: other texts of that name say nothing."""
    digests = ["A" * 64, "a" * 64, "b" * 64, "none"]
    four(tmp_path / "in" / "a.parquet", sha256=digests)
    four(tmp_path / "in" / "b.parquet")
    bring_in(tmp_path / "in", image_vector_col="v")
    assert identities(tmp_path) == ["a" * 64, "a" * 64, "b" * 64, None, *[None] * 4]
    assert [row["sha256"] for _, row in sorted(rows_of(tmp_path / "t").items())][:4] == digests
    assert [row["image_sha256"] for row in rows_of(tmp_path / "t").values()] == [None] * 8
    four(tmp_path / "plain" / "a.parquet")
    bring_in(tmp_path / "plain", image_vector_col="v", table=str(tmp_path / "p"))
    assert "image_identity" not in table.open_table(table.parse(str(tmp_path / "p"))).schema.names


def test_a_column_of_ids_that_is_missing_or_null_is_refused(tmp_path: Path) -> None:
    four(tmp_path / "in" / "a.parquet", photo=["a", "a", "b", "c"])
    four(tmp_path / "in" / "b.parquet", empty=pa.nulls(4, pa.string()))
    for name, said in (
        ("absent", r"in a.parquet; it has key, v, photo"),
        ("photo", r"in b.parquet; it has key, v, empty"),
    ):
        with pytest.raises(UsageError, match=f"--image-id-col: no column '{name}' {said}"):
            bring_in(tmp_path / "in", image_vector_col="v", image_id_col=name)
    with pytest.raises(UsageError, match="--image-id-col: column 'empty' is null in every row"):
        bring_in(tmp_path / "in" / "b.parquet", image_vector_col="v", image_id_col="empty", table=str(tmp_path / "t"))
    assert not table.exists(table.parse(str(tmp_path / "t")))


def test_rows_with_and_without_ids_are_not_mixed(tmp_path: Path) -> None:
    four(tmp_path / "in" / "a.parquet", photo=["a", "a", "b", "c"])
    bring_in(tmp_path / "in", image_vector_col="v")
    with pytest.raises(TableError, match="was imported without ids of images; leave out --image-id-col"):
        bring_in(tmp_path / "in", image_vector_col="v", image_id_col="photo")
    there = {"image_vector_col": "v", "table": str(tmp_path / "with")}
    bring_in(tmp_path / "in", **there, image_id_col="photo")
    four(tmp_path / "in" / "b.parquet", photo=["d"] * 4)
    with pytest.raises(TableError, match="was imported with ids of images; name their column with --image-id-col"):
        bring_in(tmp_path / "in", **there)
    assert bring_in(tmp_path / "in", **there, image_id_col="photo").skipped == 4


def test_a_table_that_was_imported_before_there_were_ids_goes_on_without(tmp_path: Path) -> None:
    four(tmp_path / "in" / "a.parquet")
    bring_in(tmp_path / "in", image_vector_col="v", keep_cols=())
    four(tmp_path / "in" / "b.parquet", sha256=["a" * 64] * 4)
    assert bring_in(tmp_path / "in", image_vector_col="v", keep_cols=()).outcomes.total() == 4
    assert "image_identity" not in table.open_table(table.parse(str(tmp_path / "t"))).schema.names

"""The main job in the plain loop: rows, rejects, resume and refusals."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections import Counter
from pathlib import Path

import lance
import lancedb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.dataset
import pytest
from PIL import Image

import siglip_core
from pipeline.errors import IdentityError, InputError, TableError, UsageError
from tests.embedding import embed
from tests.rows import Rows, rows_of
from tests.samples import jpeg, write_parquet, write_photos


def by_key(rows: Rows) -> dict[str, dict[str, object]]:
    return {row["key"]: row for row in rows.values()}


def test_each_pair_is_a_row_with_the_models_own_vectors(tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 3)

    assert embed(tmp_path / "in", tmp_path / "t", model) == {("success", None): 3}

    encoder = siglip_core.load(model)
    for index, row in enumerate(rows_of(tmp_path / "t").values()):
        image = jpeg(index)
        assert (row["source"], row["source_row"], row["source_rows"]) == (f"photo{index:04d}.jpg", 0, 1)
        assert (row["original_width"], row["original_height"]) == (40, 30)
        assert row["image_sha256"] == hashlib.sha256(image).hexdigest()
        pixels = encoder.preprocess(image)[None]
        np.testing.assert_allclose(row["image_vector"], encoder.encode_image(pixels)[0], atol=1e-3)
        np.testing.assert_allclose(row["text_vector"], encoder.encode_text([row["caption"]])[0], atol=1e-3)
        assert row["cosine"] is None


def test_vectors_may_be_stored_as_float32(tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 1)
    embed(tmp_path / "in", tmp_path / "t", model, vector_dtype="float32")
    (row,) = rows_of(tmp_path / "t").values()
    assert abs(np.linalg.norm(np.array(row["image_vector"])) - 1) < 1e-6
    with pytest.raises(TableError, match="--vector-dtype"):
        embed(tmp_path / "in", tmp_path / "t", model)


def broken_folder(folder: Path) -> Path:
    write_photos(folder, 2)
    whole = jpeg(7)
    for name, data in {
        "zero": b"",
        "html": b"<!DOCTYPE html><title>404</title>",
        "cut": whole[: len(whole) // 2],
        "no_caption": whole,
        "empty_caption": whole,
    }.items():
        (folder / f"{name}.jpg").write_bytes(data)
        if name != "no_caption":
            (folder / f"{name}.txt").write_text("  \n" if name == "empty_caption" else "a caption\n")
    wide = io.BytesIO()
    Image.new("1", (5000, 5000)).save(wide, "PNG")
    (folder / "wide.png").write_bytes(wide.getvalue())
    (folder / "wide.txt").write_text("wide")
    return folder


def test_what_cannot_be_embedded_is_a_row_that_says_why_and_harms_no_other(tmp_path: Path, model: Path) -> None:
    outcomes = embed(broken_folder(tmp_path / "in"), tmp_path / "t", model, max_pixels=24_000_000)

    rows = by_key(rows_of(tmp_path / "t"))
    assert {key: (row["stage"], row["reason"]) for key, row in rows.items() if row["status"] == "rejected"} == {
        "zero": ("decode", "decode"),
        "html": ("decode", "decode"),
        "cut": ("decode", "decode"),
        "no_caption": ("read", "no-caption"),
        "empty_caption": ("read", "no-caption"),
        "wide": ("decode", "too-large"),
    }
    assert "empty" in str(rows["zero"]["error_message"])
    assert "HTML" in str(rows["html"]["error_message"])
    for row in rows.values():
        assert (row["image_vector"] is None) == (row["text_vector"] is None) == (row["status"] == "rejected")
    assert outcomes.total() == len(rows) == 8
    assert outcomes["success", None] == 2


def test_of_two_pairs_of_one_photo_the_good_one_is_embedded_and_the_other_has_no_vector(
    tmp_path: Path, model: Path
) -> None:
    images = [jpeg(0), jpeg(0), jpeg(0)]
    write_parquet(tmp_path / "in" / "a.parquet", images, ["", "a caption", None])
    write_parquet(tmp_path / "alone" / "a.parquet", images[:1], ["a caption"])
    for name in ("in", "alone"):
        embed(tmp_path / name, tmp_path / f"t-{name}", model, max_reject_fraction=1)
    rows = [row for _, row in sorted(rows_of(tmp_path / "t-in").items())]
    assert [row["status"] for row in rows] == ["rejected", "success", "rejected"]
    for row in (rows[0], rows[2]):
        assert (row["image_vector"], row["text_vector"]) == (None, None)
    (alone,) = rows_of(tmp_path / "t-alone").values()
    for name in ("image_vector", "text_vector"):
        np.testing.assert_allclose(rows[1][name], alone[name], atol=1e-3)


def test_null_images_and_captions_in_parquet_are_rejected_rows(tmp_path: Path, model: Path) -> None:
    write_parquet(tmp_path / "in.parquet", [jpeg(0), None, jpeg(1), jpeg(2)], ["a", "b", None, ""])
    outcomes = embed(tmp_path / "in.parquet", tmp_path / "t", model)
    assert outcomes == {("success", None): 1, ("rejected", "no-image"): 1, ("rejected", "no-caption"): 2}


def test_images_without_any_caption_are_embedded_alone(tmp_path: Path, model: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(jpeg(0))
    assert embed(tmp_path / "in", tmp_path / "t", model) == {("success", None): 1}
    (row,) = rows_of(tmp_path / "t").values()
    assert row["image_vector"] is not None
    assert row["text_vector"] is None


def test_a_photo_of_several_pairs_is_decoded_and_embedded_once(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.stages import decode
    from siglip_core.encoder import Encoder

    seen: Counter[str] = Counter()
    real_decode, real_encode = decode.decode, Encoder.encode_image

    def counting_decode(*arguments: object, **more: object) -> object:
        seen["decoded"] += 1
        return real_decode(*arguments, **more)  # type: ignore[arg-type]

    def counting_encode(self: Encoder, images: np.ndarray) -> object:
        seen["embedded"] += len(images)
        return real_encode(self, images)

    monkeypatch.setattr(decode, "PAIRS_PER_WINDOW", 50)
    monkeypatch.setattr(decode, "decode", counting_decode)
    monkeypatch.setattr(Encoder, "encode_image", counting_encode)
    write_parquet(tmp_path / "in.parquet", [jpeg(i // 5) for i in range(50)], [f"caption {i}" for i in range(50)])

    assert embed(tmp_path / "in.parquet", tmp_path / "t", model)["success", None] == 50

    assert seen == {"decoded": 10, "embedded": 10}
    vectors = {tuple(row["image_vector"]) for row in rows_of(tmp_path / "t").values()}
    assert len(vectors) == 10


def test_a_finished_job_run_again_changes_nothing(tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 3)
    embed(tmp_path / "in", tmp_path / "t", model)
    before = sorted(path.name for path in (tmp_path / "t.lance").rglob("*"))
    assert embed(tmp_path / "in", tmp_path / "t", model) == {}
    assert sorted(path.name for path in (tmp_path / "t.lance").rglob("*")) == before


def test_new_files_in_a_finished_input_are_embedded_alone(tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 3)
    embed(tmp_path / "in", tmp_path / "t", model)
    write_photos(tmp_path / "in", 2, first=3)
    assert embed(tmp_path / "in", tmp_path / "t", model) == {("success", None): 2}
    assert len(rows_of(tmp_path / "t")) == 5


def test_a_run_that_fails_keeps_what_is_finished_and_resumes_within_a_source(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.stages import decode

    write_parquet(tmp_path / "in.parquet", [jpeg(i) for i in range(20)], [f"caption {i}" for i in range(20)])
    monkeypatch.setattr(decode, "PAIRS_PER_WINDOW", 4)
    real = decode.decode
    calls = iter(range(100))

    def fails_at_last(*arguments: object, **more: object) -> object:
        if next(calls) == 10:
            raise OSError("the store is gone")
        return real(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(decode, "decode", fails_at_last)
    with pytest.raises(OSError, match="the store is gone"):
        embed(tmp_path / "in.parquet", tmp_path / "t", model)
    assert sorted(row for _, row in rows_of(tmp_path / "t")) == list(range(8))

    assert embed(tmp_path / "in.parquet", tmp_path / "t", model) == {("success", None): 12}
    assert sorted(row for _, row in rows_of(tmp_path / "t")) == list(range(20))


def test_a_changed_source_is_named_and_refused(tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 2)
    embed(tmp_path / "in", tmp_path / "t", model)
    (tmp_path / "in" / "photo0001.txt").write_text("another caption of another length")
    with pytest.raises(InputError, match=r"photo0001\.jpg: changed since it was embedded"):
        embed(tmp_path / "in", tmp_path / "t", model)


def test_a_table_of_another_model_is_refused_before_anything_is_written(
    tmp_path: Path, model: Path, other_model: Path
) -> None:
    write_photos(tmp_path / "in", 2)
    embed(tmp_path / "in", tmp_path / "t", model)
    with pytest.raises(IdentityError, match=r"was made with weights .*; use the model and options that made it"):
        embed(tmp_path / "in", tmp_path / "t", other_model)


def test_captions_need_a_model_with_a_tokenizer(tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 1)
    shutil.copytree(model, tmp_path / "mute")
    (tmp_path / "mute" / "spiece.model").unlink()
    with pytest.raises(UsageError, match=r"mute: has no tokenizer, but the input .* has captions"):
        embed(tmp_path / "in", tmp_path / "t", tmp_path / "mute")


@pytest.mark.parametrize("kept", [["url", "url"], ["key", "source_key"], ["a.b"]])
def test_columns_that_cannot_be_kept_are_refused(tmp_path: Path, model: Path, kept: list[str]) -> None:
    more = {"url": ["u"], "key": ["k"], "source_key": ["s"], "a.b": ["x"]}
    write_parquet(tmp_path / "in.parquet", [jpeg(0)], ["a"], **more)
    with pytest.raises(UsageError, match="cannot be a column name of the table, or is repeated"):
        embed(tmp_path / "in.parquet", tmp_path / "t", model, keep_cols=kept)


def test_another_precision_is_another_identity(tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 1)
    embed(tmp_path / "in", tmp_path / "t", model)
    with pytest.raises(IdentityError, match=r"precision float32 .* precision bfloat16"):
        embed(tmp_path / "in", tmp_path / "t", model, precision="bfloat16")


def test_a_copied_model_folder_is_the_same_model(tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 1)
    embed(tmp_path / "in", tmp_path / "t", model)
    shutil.copytree(model, tmp_path / "copy")
    assert embed(tmp_path / "in", tmp_path / "t", tmp_path / "copy") == {}


def test_a_table_inside_the_input_is_refused(tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 1)
    with pytest.raises(UsageError, match="is inside the input"):
        embed(tmp_path / "in", tmp_path / "in" / "t", model)


def test_a_fixed_state_is_not_written_to(tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 1)
    with pytest.raises(UsageError, match="a fixed version cannot be changed"):
        embed(tmp_path / "in", tmp_path / "t@1", model)


def test_columns_of_the_source_are_kept(tmp_path: Path, model: Path) -> None:
    write_parquet(tmp_path / "in.parquet", [jpeg(0)], ["a"], licence=["CC0"], key=["k1"], url=["u"])
    embed(tmp_path / "in.parquet", tmp_path / "t", model, keep_cols=["licence", "key"])
    (row,) = rows_of(tmp_path / "t").values()
    assert (row["licence"], row["source_key"], row["key"]) == ("CC0", "k1", "k1")
    assert "url" not in row


def test_the_table_opens_with_the_readers_people_have(tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 3)
    embed(tmp_path / "in", tmp_path / "db" / "t", model)

    opened = lancedb.connect(tmp_path / "db").open_table("t")
    assert opened.count_rows() == 3
    dataset = opened.to_lance()
    frame = opened.to_pandas()
    assert isinstance(frame, pd.DataFrame)
    assert frame["caption"][0] == "a red square, number 0"
    lazy = pl.scan_pyarrow_dataset(dataset)
    assert lazy.select("uid", "status").collect().shape == (3, 2)
    assert isinstance(dataset, pyarrow.dataset.Dataset)
    assert dataset.scanner(columns=["image_vector"]).to_table().num_rows == 3
    metadata = dataset.schema.metadata
    assert json.loads(metadata[b"siglane:identity"])["model"] == str(model)


def test_each_commit_carries_the_options_of_its_run_without_secrets(tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 2)
    embed(tmp_path / "in", tmp_path / "t", model, limit=1, allow_uri=["https://user:secret@host/?signature=secret"])
    embed(tmp_path / "in", tmp_path / "t", model)
    transactions = lance.dataset(f"{tmp_path}/t.lance").get_transactions(100)
    properties = [each.transaction_properties or {} for each in transactions if each is not None]
    settings = [json.loads(each["siglane:settings"]) for each in properties if "siglane:settings" in each]
    assert [(each["limit"], each["batch_size"]) for each in settings] == [(None, 64), (1, 64)]
    assert "secret" not in str(settings)


def test_hidden_folders_are_no_input(tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 1)
    write_photos(tmp_path / "in" / ".cache", 1)
    assert embed(tmp_path / "in", tmp_path / "t", model).total() == 1

"""Kept pairs as WebDataset: the bytes that the input holds, read back by the package that gave the format its name."""

from __future__ import annotations

import datetime
import json
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pillow_heif
import pillow_jxl  # noqa: F401
import pyarrow.parquet as pq
import pytest
import webdataset
from PIL import Image

from pipeline import scoring, table
from pipeline.errors import InputError, TableError
from pipeline.filtering import Filtered, Selection, filter_table, one_cut, written_as
from pipeline.sources import SourceOptions
from tests.embedding import embed
from tests.rows import rows_of
from tests.samples import jpeg, write_parquet, write_photos, write_tar


def export(
    folder: Path,
    output: Path,
    minimum: float = -1.0,
    shard_size: int = 4,
    seed: int | None = None,
    source: str = "in",
    **more: Any,
) -> Filtered:
    read = SourceOptions(input=(str(folder / source),), **more)
    form = written_as("webdataset", read, shard_size=shard_size, shuffle_seed=seed)
    kept = Selection(one_cut("cosine", min=minimum))
    return filter_table(table.open_table(table.parse(str(folder / "t"))), kept, output, form)


def read_back(output: Path) -> list[dict[str, Any]]:
    shards = sorted(str(tar) for tar in output.glob("*.tar"))
    return list(webdataset.WebDataset(shards, shardshuffle=False)) if shards else []


@pytest.fixture
def embedded(tmp_path: Path, model: Path) -> Path:
    """A folder with input and scored table: two Parquet files of five pairs and a reject each."""
    for name in ("a", "b"):
        write_parquet(
            tmp_path / "in" / f"{name}.parquet",
            [jpeg(ord(name) + i) for i in range(5)] + [b"broken"],
            [f"caption {name} {i} é" for i in range(6)],
            row_group_size=2,
        )
    embed(tmp_path / "in", tmp_path / "t", model)
    list(scoring.score_table(table.parse(str(tmp_path / "t"))))
    return tmp_path


def originals(samples: list[dict[str, Any]]) -> dict[str, tuple[bytes, str]]:
    return {json.loads(sample["json"])["uid"]: (sample["jpg"], sample["txt"].decode()) for sample in samples}


def test_shards_hold_the_original_bytes_with_caption_and_row(embedded: Path) -> None:
    result = export(embedded, embedded / "out")
    samples = read_back(embedded / "out")
    assert result.kept == len(samples) == 10
    rows = {row["uid"]: row for row in rows_of(embedded / "t").values() if row["status"] == "success"}
    source_bytes = {f"caption {name} {i} é": jpeg(ord(name) + i) for name in "ab" for i in range(5)}
    assert originals(samples) == {uid: (source_bytes[row["caption"]], row["caption"]) for uid, row in rows.items()}
    record = json.loads(samples[0]["json"])
    assert record["cosine"] == pytest.approx(rows[record["uid"]]["cosine"])
    assert "image_vector" not in record


def test_every_record_is_json_also_where_a_score_is_not_a_number(tmp_path: Path, model: Path) -> None:
    quality = [float("nan"), 1.0]
    boxes = [[{"x": float("inf")}, {"x": 2.0}], [{"x": float("nan")}]]
    write_parquet(tmp_path / "in" / "a.parquet", [jpeg(0), jpeg(1)], ["a", "b"], quality=quality, boxes=boxes)
    embed(tmp_path / "in", tmp_path / "t", model, keep_cols=("quality", "boxes"))
    list(scoring.score_table(table.parse(str(tmp_path / "t"))))
    export(tmp_path, tmp_path / "out")
    texts = [sample["json"].decode() for sample in read_back(tmp_path / "out")]
    assert not any(word in text for text in texts for word in ("NaN", "Infinity"))
    assert [json.loads(text)["quality"] for text in texts] == [None, 1.0]
    assert [json.loads(text)["boxes"] for text in texts] == [[{"x": None}, {"x": 2.0}], [{"x": None}]]


def test_bytes_and_dates_of_kept_columns_are_texts_that_others_read(tmp_path: Path, model: Path) -> None:
    kept = {"hash": [b"\x00\xff"], "day": [datetime.date(2026, 5, 4)]}
    write_parquet(tmp_path / "in" / "a.parquet", [jpeg(0)], ["a"], **kept)
    embed(tmp_path / "in", tmp_path / "t", model, keep_cols=("hash", "day"), score=True)
    export(tmp_path, tmp_path / "out")
    (record,) = (json.loads(sample["json"]) for sample in read_back(tmp_path / "out"))
    assert (record["hash"], record["day"]) == ("00ff", "2026-05-04")


def test_an_image_that_a_manifest_names_and_that_is_deleted_ends_the_export(tmp_path: Path, model: Path) -> None:
    (tmp_path / "in").mkdir()
    for n in range(3):
        (tmp_path / "in" / f"{n}.jpg").write_bytes(jpeg(n))
    records = [{"url": f"{n}.jpg", "caption": f"c{n}"} for n in range(3)]
    (tmp_path / "in" / "x.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    embed(tmp_path / "in" / "x.jsonl", tmp_path / "t", model, score=True)
    (tmp_path / "in" / "1.jpg").unlink()
    with pytest.raises(InputError, match=r"input x\.jsonl row \d+: its image can no longer be read"):
        export(tmp_path, tmp_path / "out", source="in/x.jsonl")
    assert not (tmp_path / "out").exists()


def test_sizes_and_stats_count_each_shard(embedded: Path) -> None:
    export(embedded, embedded / "out")
    sizes = {"00000000.tar": 4, "00000001.tar": 4, "00000002.tar": 2}
    beside = embedded / "out.siglane"
    assert json.loads((beside / "sizes.json").read_text()) == sizes
    stats = [json.loads((beside / f"{shard:08d}_stats.json").read_text()) for shard in range(3)]
    assert [entry["successes"] for entry in stats] == [4, 4, 2]
    assert {file.name for file in (embedded / "out").iterdir()} == set(sizes)
    assert [(beside / name).read_bytes() for name in sizes] == [
        (embedded / "out" / name).read_bytes() for name in sizes
    ]
    keys = [sample["__key__"] for sample in read_back(embedded / "out")]
    assert keys == sorted(keys)
    assert len(set(keys)) == 10


def test_a_shuffle_moves_samples_between_shards_and_loses_none(embedded: Path) -> None:
    plain, shuffled, again = (
        (export(embedded, embedded / name, seed=seed), read_back(embedded / name))[1]
        for name, seed in (("plain", None), ("shuffled", 7), ("again", 7))
    )
    assert originals(plain) == originals(shuffled)
    assert list(originals(plain)) != list(originals(shuffled))
    assert list(originals(shuffled)) == list(originals(again))
    assert [sample["__key__"] for sample in shuffled] == sorted(sample["__key__"] for sample in shuffled)
    assert not list((embedded / "shuffled").glob("*.spool"))


def test_parquet_with_images_can_be_embedded_again(embedded: Path, model: Path) -> None:
    opened = table.open_table(table.parse(str(embedded / "t")))
    form = written_as("parquet", SourceOptions(input=(str(embedded / "in"),)), with_images=True)
    result = filter_table(opened, Selection(one_cut("cosine", min=-1.0)), embedded / "out", form)
    rows = {row["uid"]: row for row in rows_of(embedded / "t").values() if row["status"] == "success"}
    kept = {
        row["uid"]: row for row in pq.ParquetDataset(sorted((embedded / "out").glob("*.parquet"))).read().to_pylist()
    }
    assert result.kept == len(kept) == 10
    assert {uid: sha256(row["image"]).hexdigest() for uid, row in kept.items()} == {
        uid: row["image_sha256"] for uid, row in rows.items()
    }
    embed(embedded / "out", embedded / "again", model)
    assert {row["uid"] for row in rows_of(embedded / "again").values()} == rows.keys()


def test_only_what_the_cut_keeps_is_read_and_written(embedded: Path) -> None:
    cosines = sorted(row["cosine"] for row in rows_of(embedded / "t").values() if row["cosine"] is not None)
    result = export(embedded, embedded / "out", minimum=cosines[-3])
    assert result.kept == len(read_back(embedded / "out")) == 3
    assert export(embedded, embedded / "none", minimum=2.0).kept == len(read_back(embedded / "none")) == 0


def test_folders_and_tars_give_their_bytes_back_too(tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "photos" / "in", 3)
    members = [
        (f"{i}.{suffix}", data) for i in range(3) for suffix, data in (("jpg", jpeg(i)), ("txt", b"a red square"))
    ]
    write_tar(tmp_path / "tars" / "in" / "0.tar", members)
    for folder, first in (("photos", 0), ("tars", 0)):
        embed(tmp_path / folder / "in", tmp_path / folder / "t", model)
        list(scoring.score_table(table.parse(str(tmp_path / folder / "t"))))
        export(tmp_path / folder, tmp_path / folder / "out")
        assert [sample["jpg"] for sample in read_back(tmp_path / folder / "out")] == [jpeg(first + i) for i in range(3)]


def drawn(seed: int, form: str) -> bytes:
    buffer = BytesIO()
    Image.open(BytesIO(jpeg(seed))).save(buffer, form)
    return buffer.getvalue()


OTHER_FORMATS = {
    **{"ppm": "PPM", "tga": "TGA", "ico": "ICO", "qoi": "QOI", "dib": "DIB", "jp2": "JPEG2000", "sgi": "SGI"},
    **{"heic": "HEIF", "jxl": "JXL"},
}
pillow_heif.register_heif_opener()  # to save HEIC; importing pillow_jxl does so for JPEG XL


@pytest.mark.parametrize("named", [True, False])
def test_images_of_every_format_come_back_under_a_suffix_that_is_read(tmp_path: Path, model: Path, named: bool) -> None:
    images = [drawn(i, form) for i, form in enumerate(OTHER_FORMATS.values())] + [jpeg(50)]
    names = [f"{suffix}.{suffix}" for suffix in OTHER_FORMATS] + ["nameless"]
    if named:
        for name, image in zip(names, images, strict=True):
            (tmp_path / "in").mkdir(exist_ok=True)
            (tmp_path / "in" / name).write_bytes(image)
            (tmp_path / "in" / f"{name.partition('.')[0]}.txt").write_text("a red square")
    else:
        write_parquet(tmp_path / "in" / "a.parquet", images, ["a red square"] * len(images))
    embed(tmp_path / "in", tmp_path / "t", model, score=True)
    export(tmp_path, tmp_path / "out", shard_size=100)
    embed(tmp_path / "out", tmp_path / "again", model)
    expected = {sha256(image).hexdigest() for image in images}
    assert {row["image_sha256"] for row in rows_of(tmp_path / "again").values()} == expected


def test_an_image_that_has_changed_since_leaves_nothing(embedded: Path) -> None:
    write_parquet(embedded / "in" / "b.parquet", [jpeg(99)] * 6, ["x"] * 6)
    with pytest.raises(InputError, match=r"b.parquet row \d: its image is not the embedded one"):
        export(embedded, embedded / "out")
    assert {path.name for path in embedded.iterdir()} == {"in", "t.lance"}


def test_an_image_that_has_changed_beside_the_list_that_names_it_is_noticed(tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in" / "photos", 3)
    listed = [{"image": f"photos/photo{i:04d}.jpg", "caption": "a red square"} for i in range(3)]
    (tmp_path / "in" / "list.jsonl").write_text("\n".join(map(json.dumps, listed)))
    embed(tmp_path / "in" / "list.jsonl", tmp_path / "t", model)
    list(scoring.score_table(table.parse(str(tmp_path / "t"))))
    (tmp_path / "in" / "photos" / "photo0002.jpg").write_bytes(jpeg(99))
    with pytest.raises(InputError, match=r"list.jsonl row \d+: its image is not the embedded one"):
        export(tmp_path, tmp_path / "out", source="in/list.jsonl")


def test_images_of_another_column_are_not_taken_for_those_embedded(tmp_path: Path, model: Path) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", [jpeg(i) for i in range(3)], ["x"] * 3, thumb=[jpeg(9)] * 3)
    embed(tmp_path / "in", tmp_path / "t", model)
    list(scoring.score_table(table.parse(str(tmp_path / "t"))))
    with pytest.raises(InputError, match=r"a.parquet row 0: its image is not the embedded one"):
        export(tmp_path, tmp_path / "out", image_col="thumb")


def test_that_no_row_has_a_score_is_found_before_an_image_is_read(tmp_path: Path, model: Path) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", [jpeg(0)], ["x"])
    embed(tmp_path / "in", tmp_path / "t", model)
    with pytest.raises(TableError, match="none of the 1 row has a cosine; run `siglane score"):
        export(tmp_path, tmp_path / "out", source="not there")
    assert {path.name for path in tmp_path.iterdir()} == {"in", "t.lance"}


def test_rows_that_the_input_has_not_are_counted(embedded: Path) -> None:
    (embedded / "in" / "b.parquet").unlink()
    with pytest.raises(InputError, match=r"5 of the 10 rows are not in it, e\.g\. 'b\.parquet' row 0; give"):
        export(embedded, embedded / "out")
    assert not (embedded / "out").exists()

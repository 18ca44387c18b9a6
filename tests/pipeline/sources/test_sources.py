"""Every source: what its samples are, and that a plan's chunks hold each of them once."""

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import sources, storage
from pipeline.errors import InputError, UsageError
from pipeline.sample import Chunk, Sample
from pipeline.sources import SourceOptions, columns
from pipeline.sources.formats import folder, parquet
from tests.samples import jpeg, write_parquet, write_photos, write_tar


def read_all(**options: object) -> list[Sample]:
    parsed = SourceOptions.model_validate(options)
    name, listing = sources.resolve(parsed)
    module = sources.formats()[name]
    return [sample for chunk in module.plan(listing, parsed) for sample in module.read(chunk, parsed)]


def planned(path: Path) -> Sequence[Chunk]:
    options = SourceOptions(input=str(path))
    return parquet.plan(sources.resolve(options)[1], options)


def damage(file: Path, row_group: int) -> None:
    """Overwrites the header of the images' first page in one row group."""
    offset = pq.ParquetFile(file).metadata.row_group(row_group).column(0).data_page_offset
    with file.open("r+b") as handle:
        handle.seek(offset)
        handle.write(b"\xff" * 64)


def test_folder_pairs_each_image_with_the_caption_beside_it(tmp_path: Path) -> None:
    write_photos(tmp_path / "in" / "a", 2)
    (tmp_path / "in" / "bare.png").write_bytes(b"no caption beside me")

    samples = read_all(input=str(tmp_path / "in"))

    assert [(s.source.path, s.key, s.caption) for s in samples] == [
        ("a/photo0000.jpg", "photo0000", "a red square, number 0"),
        ("a/photo0001.jpg", "photo0001", "a blue field with a dog, number 1"),
        ("bare.png", "bare", None),
    ]
    assert samples[0].image == jpeg(0)
    assert {sample.rows for sample in samples} == {1}


def test_folder_takes_a_list_of_captions_as_several_samples_of_one_image(tmp_path: Path) -> None:
    (tmp_path / "dog.jpg").write_bytes(jpeg(1))
    (tmp_path / "dog.json").write_text(json.dumps({"caption": ["a dog", "a hound"]}))

    samples = read_all(input=str(tmp_path))

    assert [(s.row, s.rows, s.key, s.caption) for s in samples] == [(0, 2, "dog", "a dog"), (1, 2, "dog#1", "a hound")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("dog.txt", b"\xff\xfe\xfa"),
        ("dog.json", b"{not json"),
        ("dog.json", b'{"caption": 7}'),
        ("dog.json", b'{"caption": "bad \\ud83d"}'),
        ("dog.json", b'{"caption": ' + b"9" * 5000 + b"}"),
        ("dog.json", b"[" * 100_000),
    ],
)
def test_folder_rejects_the_sample_of_a_broken_sidecar(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / "dog.jpg").write_bytes(jpeg(1))
    (tmp_path / name).write_bytes(content)

    (sample,) = read_all(input=str(tmp_path))

    assert sample.reject is not None
    assert (sample.reject.stage, sample.reject.reason) == ("read", "bad-caption")
    assert name in sample.reject.message


def test_folder_rejects_only_the_broken_one_of_several_captions(tmp_path: Path) -> None:
    (tmp_path / "dog.jpg").write_bytes(jpeg(1))
    (tmp_path / "dog.json").write_text(json.dumps({"caption": ["a dog", 7, "bad \ud83d", "a hound"]}))

    samples = read_all(input=str(tmp_path))

    assert [(s.row, s.caption, s.reject and s.reject.reason) for s in samples] == [
        (0, "a dog", None),
        (1, None, "bad-caption"),
        (2, None, "bad-caption"),
        (3, "a hound", None),
    ]


def test_folder_takes_the_text_where_img2dataset_wrote_a_record_beside_it(tmp_path: Path) -> None:
    (tmp_path / "000.jpg").write_bytes(jpeg(1))
    (tmp_path / "000.txt").write_text("a dog")
    (tmp_path / "000.json").write_text(json.dumps({"caption": "a dog", "url": "http://a/b.jpg", "status": "success"}))

    (sample,) = read_all(input=str(tmp_path))

    assert (sample.caption, sample.rows) == ("a dog", 1)
    version = sample.source.version
    (tmp_path / "000.json").write_text("{}")
    assert read_all(input=str(tmp_path))[0].source.version == version


def test_folder_opens_no_image_whose_rows_are_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_photos(tmp_path, 3)
    options = SourceOptions(input=str(tmp_path))
    (chunk,) = folder.plan(sources.resolve(options)[1], options)
    opened: list[str] = []
    real = storage.read_bytes
    monkeypatch.setattr(storage, "read_bytes", lambda uri, *most: opened.append(uri) or real(uri, *most))

    done = replace(chunk, done={"photo0000.jpg": ((0, 1),), "photo0002.jpg": ((0, 1),)})

    assert [sample.key for sample in folder.read(done, options)] == ["photo0001"]
    assert [Path(uri).name for uri in opened if uri.endswith(".jpg")] == ["photo0001.jpg"]


def test_done_rows_are_found_among_any_number_of_ranges() -> None:
    ranges = ((2, 4), (6, 7), (9, 12))
    chunk = Chunk((), done={"x": ranges})
    inside = {row for start, stop in ranges for row in range(start, stop)}
    assert [row for row in range(14) if chunk.is_done("x", row)] == sorted(inside)
    for row, stop in combinations(range(14), 2):
        assert chunk.is_done("x", row, stop) == inside.issuperset(range(row, stop))
    assert not chunk.is_done("y", 2)


def test_folder_leaves_hidden_files_out(tmp_path: Path) -> None:
    write_photos(tmp_path, 1)
    (tmp_path / ".DS_Store").write_bytes(b"x")
    assert len(read_all(input=str(tmp_path))) == 1


def test_parquet_rows_are_numbered_through_the_file_whatever_its_row_groups(tmp_path: Path) -> None:
    captions = [f"row {index}" for index in range(10)]
    file = write_parquet(tmp_path / "x.parquet", [jpeg(i) for i in range(10)], captions, row_group_size=3)

    samples = read_all(input=str(file))

    assert [(s.source.path, s.row, s.rows, s.key, s.caption) for s in samples] == [
        ("x.parquet", i, 10, str(i), f"row {i}") for i in range(10)
    ]


def test_parts_of_a_large_parquet_file_hold_each_row_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "BYTES_PER_PART", 3000)
    captions = [f"row {index}" for index in range(40)]
    file = write_parquet(tmp_path / "x.parquet", [jpeg(i) for i in range(40)], captions, row_group_size=7)
    options = SourceOptions(input=str(file))

    chunks = parquet.plan(sources.resolve(options)[1], options)

    assert len(chunks) > 3
    assert sorted(s.row for chunk in chunks for s in parquet.read(chunk, options)) == list(range(40))


def test_parquet_reads_images_as_hugging_face_writes_them(tmp_path: Path) -> None:
    images = pa.array([{"bytes": jpeg(0), "path": "a.jpg"}], pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    pq.write_table(pa.table({"image": images, "text": ["a"]}), tmp_path / "x.parquet")

    (sample,) = read_all(input=str(tmp_path))

    assert (sample.image, sample.caption) == (jpeg(0), "a")


def test_parquet_keeps_its_own_uid_key_size_and_columns(tmp_path: Path) -> None:
    uid = "0123456789abcdef" * 2
    write_parquet(
        tmp_path / "x.parquet",
        [jpeg(0)],
        ["a"],
        uid=[uid],
        key=["000012"],
        url=["http://a/b.jpg"],
        original_width=[4000],
        original_height=[3000],
        ignored=[1],
    )

    (sample,) = read_all(input=str(tmp_path))

    assert (sample.uid, sample.key, sample.width, sample.height) == (uid, "000012", 4000, 3000)
    assert sample.kept == {"url": "http://a/b.jpg", "key": "000012"}


@pytest.mark.parametrize("option", ["image_col", "caption_col", "uid_col", "keep_cols"])
def test_parquet_without_a_named_column_is_refused_when_planned(tmp_path: Path, option: str) -> None:
    write_parquet(tmp_path / "x.parquet", [jpeg(0)], ["a"])
    value = ("nope",) if option == "keep_cols" else "nope"
    with pytest.raises(InputError, match=r"x\.parquet: no column 'nope'; it has image, caption"):
        read_all(input=str(tmp_path), **{option: value})


@pytest.mark.parametrize(
    "kind",
    [pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string()), pa.binary(), pa.large_binary()],
    ids=str,
)
def test_parquet_captions_and_kept_texts_may_be_any_of_arrows_texts(tmp_path: Path, kind: pa.DataType) -> None:
    texts = ["ä", None, "b"] if not pa.types.is_binary(kind) and not pa.types.is_large_binary(kind) else None
    captions = pa.array(texts or ["ä".encode(), None, b"b"], kind)
    more = {"url": pa.array(texts, kind)} if texts else {}
    write_parquet(tmp_path / "x.parquet", [jpeg(0)] * 3, captions, **more)

    samples = read_all(input=str(tmp_path))

    assert [sample.caption for sample in samples] == ["ä", None, "b"]
    if texts:
        assert [sample.kept["url"] for sample in samples] == texts
        assert planned(tmp_path)[0].kept == pa.schema([("url", pa.string())])


@pytest.mark.parametrize("kind", [pa.large_binary(), pa.binary_view(), pa.dictionary(pa.int8(), pa.binary())], ids=str)
def test_parquet_images_may_be_any_of_arrows_bytes(tmp_path: Path, kind: pa.DataType) -> None:
    struct = pa.StructArray.from_arrays([pa.array([jpeg(0), None], kind)], ["bytes"])
    pq.write_table(pa.table({"image": pa.array([jpeg(0), None], kind), "nested": struct}), tmp_path / "x.parquet")
    for column in ("image", "nested"):
        assert [sample.image for sample in read_all(input=str(tmp_path), image_col=column)] == [jpeg(0), None]


@pytest.mark.parametrize(("column", "flag"), [("caption", "--caption-col"), ("image", "--image-col")])
def test_parquet_column_of_another_kind_is_refused(tmp_path: Path, column: str, flag: str) -> None:
    lists = pa.array([[1, 2]], pa.list_(pa.int8()))
    columns = {"image": pa.array([jpeg(0)], pa.binary()), "caption": pa.array(["a"]), column: lists}
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    with pytest.raises(InputError, match=rf"x\.parquet: column '{column}' has type list.*; give another with {flag}"):
        read_all(input=str(tmp_path), image_col="image")


def test_parquet_column_that_stands_twice_is_refused(tmp_path: Path) -> None:
    columns = [pa.array([jpeg(0)], pa.binary()), pa.array(["a"]), pa.array(["b"])]
    pq.write_table(pa.table(columns, ["image", "caption", "caption"]), tmp_path / "x.parquet")
    with pytest.raises(InputError, match="2 columns are named 'caption'"):
        read_all(input=str(tmp_path))


def test_parquet_files_may_differ_in_encoding_and_in_columns_of_nulls(tmp_path: Path) -> None:
    kinds = [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.null()]
    for index, kind in enumerate(kinds):
        texts = pa.array([None], kind) if kind == pa.null() else pa.array(["a"], kind)
        write_parquet(tmp_path / f"{index}.parquet", [jpeg(0)], texts, url=texts)
    assert [(s.caption, s.kept["url"]) for s in read_all(input=str(tmp_path))] == [("a", "a")] * 3 + [(None, None)]


def test_parquet_uid_column_may_have_another_name(tmp_path: Path) -> None:
    write_parquet(tmp_path / "x.parquet", [jpeg(0)], ["a"], uid=["a" * 32], hash=["b" * 32])
    assert [s.uid for s in read_all(input=str(tmp_path))] == ["a" * 32]
    assert [s.uid for s in read_all(input=str(tmp_path), uid_col="hash")] == ["b" * 32]


@pytest.mark.parametrize(
    ("stated", "read"),
    [
        *((4000, 4000), (4000.0, 4000), (0, None), (-1, None), (2**40, None), (None, None)),
        *((float("nan"), None), (float("inf"), None), (40.5, None), ("4000", None), (True, None)),
    ],
)
def test_parquet_size_that_cannot_be_one_is_none(tmp_path: Path, stated: object, read: int | None) -> None:
    write_parquet(tmp_path / "x.parquet", [jpeg(0)], ["a"], original_width=[stated], original_height=[stated])
    (sample,) = read_all(input=str(tmp_path))
    assert (sample.width, sample.height) == (read, read)


def test_parquet_reads_few_rows_at_once_where_they_are_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_parquet(tmp_path / "x.parquet", [jpeg(i) for i in range(20)], ["a"] * 20, row_group_size=10)
    monkeypatch.setattr(parquet, "BYTES_PER_READ", 5 * len(jpeg(0)))
    sizes: list[int] = []
    real = columns.values
    monkeypatch.setattr(columns, "values", lambda column: sizes.append(len(column)) or real(column))

    assert [sample.row for sample in read_all(input=str(file))] == list(range(20))
    assert max(sizes) <= 5


def test_parquet_reads_no_row_group_that_is_done(tmp_path: Path) -> None:
    file = write_parquet(tmp_path / "x.parquet", [jpeg(i) for i in range(9)], ["a"] * 9, row_group_size=3)
    damage(file, row_group=1)
    (chunk,) = planned(file)
    assert [s.row for s in parquet.read(replace(chunk, done={"x.parquet": ((2, 7),)}), SourceOptions(input=""))] == [
        *(0, 1),
        *(7, 8),
    ]


def test_the_rows_of_a_damaged_row_group_are_rejected_by_number(tmp_path: Path) -> None:
    file = write_parquet(tmp_path / "x.parquet", [jpeg(i) for i in range(9)], ["a"] * 9, row_group_size=3)
    damage(file, row_group=1)
    samples = read_all(input=str(file))
    assert [(s.row, s.rows, s.reject and s.reject.reason) for s in samples] == [
        *((row, 9, None) for row in range(3)),
        *((row, 9, "bad-parquet") for row in range(3, 6)),
        *((row, 9, None) for row in range(6, 9)),
    ]
    assert samples[3].reject is not None
    assert samples[3].reject.message.startswith("x.parquet: row group 1: ")


def test_parquet_files_without_rows_have_no_samples(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", [], pa.array([], pa.string()))
    assert read_all(input=str(tmp_path)) == []
    write_parquet(tmp_path / "b.parquet", [jpeg(0)], ["a"])
    assert [sample.source.path for sample in read_all(input=str(tmp_path))] == ["b.parquet"]


def test_parquet_parts_hold_each_row_once_where_the_first_column_is_nested_and_nothing_has_a_dictionary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "BYTES_PER_PART", 3000)
    images = [{"path": None, "bytes": jpeg(i)} for i in range(40)]
    columns = {"nested": [[{"a": i}] for i in range(40)], "image": images, "caption": ["a"] * 40}
    pq.write_table(pa.table(columns), tmp_path / "x.parquet", 7, use_dictionary=False)
    assert len(planned(tmp_path)) > 3
    assert sorted(sample.row for sample in read_all(input=str(tmp_path))) == list(range(40))


def test_parquet_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"<html>404</html>")
    with pytest.raises(InputError, match=r"x\.parquet: not readable as Parquet"):
        read_all(input=str(tmp_path))


def test_an_input_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no such file or folder; check --input"):
        read_all(input=str(tmp_path / "nowhere"))


def test_an_input_of_two_formats_must_be_told_apart(tmp_path: Path) -> None:
    write_photos(tmp_path, 1)
    write_parquet(tmp_path / "x.parquet", [jpeg(0)], ["a"])
    with pytest.raises(InputError, match="has files of format folder and parquet"):
        read_all(input=str(tmp_path))
    assert len(read_all(input=str(tmp_path), input_format="parquet")) == 1


def test_an_unknown_format_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'tfrecord': unknown; one of arrow, coco, folder, lance, "):
        read_all(input=str(tmp_path), input_format="tfrecord")


def test_images_that_a_list_does_not_speak_for_are_not_passed_over(tmp_path: Path) -> None:
    write_photos(tmp_path / "pairs", 3)
    (tmp_path / "listed").mkdir()
    for row in range(2):
        (tmp_path / "listed" / f"{row}.jpg").write_bytes(jpeg(row))
    lines = [json.dumps({"file_name": f"{row}.jpg", "text": "a red barn"}) for row in range(2)]
    (tmp_path / "listed" / "metadata.jsonl").write_text("\n".join(lines))
    assert sources.resolve(SourceOptions(input=(str(tmp_path / "listed"),)))[0] == "manifest"

    both = (str(tmp_path / "listed"), str(tmp_path / "pairs"))
    for inputs in (both, both[::-1], (str(tmp_path),)):
        with pytest.raises(InputError, match="has files of format folder and manifest"):
            sources.resolve(SourceOptions(input=inputs))
    write_photos(tmp_path / "listed", 1)
    with pytest.raises(InputError, match="has files of format folder and manifest"):
        sources.resolve(SourceOptions(input=(str(tmp_path / "listed"),)))


def test_what_is_wrong_with_a_list_beside_images_is_said(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 2)
    for text in (tmp_path / "in").glob("*.txt"):
        text.unlink()
    (tmp_path / "in" / "list.csv").write_text("file_name,caption,caption\nphoto0000.jpg,a,b\n")
    with pytest.raises(InputError, match=r"--input-format .*; manifest cannot be read: list.csv: .*'caption'; rename"):
        sources.resolve(SourceOptions(input=(str(tmp_path / "in"),)))


@pytest.mark.parametrize("packed", [False, True])
def test_a_field_of_captions_is_refused_where_they_are_texts(tmp_path: Path, packed: bool) -> None:
    if packed:
        write_tar(tmp_path / "in" / "a.tar", [("0.jpg", jpeg(0)), ("0.txt", b"a red barn")])
    else:
        write_photos(tmp_path / "in", 2)
    with pytest.raises(InputError, match=r"caption_col alt: no .*; leave it out"):
        sources.planned(SourceOptions(input=(str(tmp_path / "in"),), caption_col="alt"))

"""Captions in COCO's documents."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import InputError
from pipeline.sources.formats import coco
from tests.pipeline.sources.reading import planned, read_all, reasons
from tests.samples import jpeg

IMAGES = [{"id": row, "file_name": f"{row}.jpg", "coco_url": f"http://images.host/{row}.jpg"} for row in range(4)]


def write(root: Path, annotations: list[dict[str, Any]], images: list[dict[str, Any]] | None = None) -> Path:
    for row in range(4):
        (root / "val").mkdir(parents=True, exist_ok=True)
        (root / "val" / f"{row}.jpg").write_bytes(jpeg(row))
    document = {"images": IMAGES if images is None else images, "annotations": annotations}
    (root / "captions.json").write_text(json.dumps(document))
    return root


def captions(*pairs: tuple[object, object]) -> list[dict[str, Any]]:
    return [{"image_id": image, "caption": text} for image, text in pairs]


def test_each_caption_is_a_sample_in_the_order_of_the_images(tmp_path: Path) -> None:
    write(tmp_path, captions((2, "c"), (0, "a"), (2, "d"), (1, "b"), (3, "e")))
    samples = read_all(input=tmp_path)
    assert [(s.row, s.rows, s.key, s.member, s.caption) for s in samples] == [
        (0, 5, "0", "0.jpg", "a"),
        (1, 5, "1", "1.jpg", "b"),
        (2, 5, "2", "2.jpg", "c"),
        (3, 5, "2#1", "2.jpg", "d"),
        (4, 5, "3", "3.jpg", "e"),
    ]
    assert [s.image for s in samples] == [jpeg(row) for row in (0, 1, 2, 2, 3)]


def test_images_without_captions_and_captions_without_images_are_samples(tmp_path: Path) -> None:
    write(tmp_path, captions((0, "a"), (9, "b"), (1, 7), (2, None), (None, "c")))
    samples = read_all(input=tmp_path)
    assert [(s.row, s.image is not None, s.caption) for s in samples] == [
        (0, True, "a"),
        (1, False, None),
        (2, True, ""),
        (3, True, None),
        (4, False, "b"),
        (5, False, "c"),
    ]
    assert reasons(samples) == [None, "bad-caption", None, None, None, None]


def test_parts_have_each_row_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coco, "BYTES_PER_PART", 100)
    write(tmp_path, captions(*((row % 4, f"text {row}") for row in range(9))))
    assert len(planned(input=tmp_path)[0]) > 4
    assert [s.row for s in read_all(input=tmp_path)] == list(range(9))


def test_a_document_alone_asks_for_the_folder_that_holds_its_images_too(tmp_path: Path) -> None:
    write(tmp_path, captions((0, "a")))
    (tmp_path / "annotations").mkdir()
    document = (tmp_path / "captions.json").rename(tmp_path / "annotations" / "captions.json")
    with pytest.raises(InputError, match=r"captions\.json: none of .*, e\.g\. 0\.jpg; give the folder that holds both"):
        read_all(input=document)


def test_a_document_alone_finds_images_below_its_folder(tmp_path: Path) -> None:
    write(tmp_path, captions((0, "a"), (1, "b"), (2, "c"), (3, "d")))
    assert [s.caption for s in read_all(input=tmp_path / "captions.json")] == ["a", "b", "c", "d"]


def test_images_may_be_fetched_by_another_field(tmp_path: Path) -> None:
    write(tmp_path, captions((0, "a")))
    (chunk,), _ = planned(input=tmp_path, url_col="coco_url", input_format="coco")
    assert chunk.outside == "--allow-uri http://images.host/"


def test_two_folders_with_the_images_are_refused(tmp_path: Path) -> None:
    write(tmp_path, captions((0, "a")))
    (tmp_path / "small").mkdir()
    for row in range(4):
        (tmp_path / "small" / f"{row}.jpg").write_bytes(jpeg(row))
    with pytest.raises(InputError, match=r"captions\.json: its images are in small and in val; give the list and one"):
        read_all(input=tmp_path, input_format="coco")


@pytest.mark.parametrize("size", [1, 2, 10])
def test_a_later_document_that_breaks_off_is_one_rejected_row(tmp_path: Path, size: int) -> None:
    write(tmp_path, captions(*((row, f"text {row}") for row in range(4))))
    whole = (tmp_path / "captions.json").read_text()
    (tmp_path / "captions_z.json").write_text(whole[:-size])
    samples = read_all(input=tmp_path)
    assert reasons(samples) == [None] * 4 + ["bad-record"]
    assert (samples[4].source.path, samples[4].row, samples[4].rows) == ("captions_z.json", 0, 1)


def test_a_first_document_without_names_is_refused(tmp_path: Path) -> None:
    write(tmp_path, captions((0, "a")), [{"id": 0, "name": "0.jpg"}])
    with pytest.raises(InputError, match="images have no field 'file_name'; name one with --url-col"):
        read_all(input=tmp_path, input_format="coco")
    assert [s.image for s in read_all(input=tmp_path, url_col="name")] == [jpeg(0)]


def test_a_document_above_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, captions((0, "a")))
    monkeypatch.setattr(coco, "MAX_BYTES", 10)
    with pytest.raises(InputError, match="bytes is above the limit of 10; split the document"):
        read_all(input=tmp_path, input_format="coco")


def test_a_document_takes_less_memory_than_its_size(tmp_path: Path) -> None:
    boxes = {"segmentation": list(range(200))}
    write(tmp_path, [{"image_id": row % 4, "caption": f"text {row}", **boxes} for row in range(20_000)])
    size = (tmp_path / "captions.json").stat().st_size
    chunks, options = planned(input=tmp_path)
    tracemalloc.start()
    assert next(coco.read(chunks[0], options)).rows == 20_000
    assert tracemalloc.get_traced_memory()[1] < size / 2
    tracemalloc.stop()


@pytest.mark.parametrize("list_name", ["captions_train2017.json", "captions-train2017-v2.json"])
def test_the_folder_that_the_name_of_the_list_names_has_its_images(tmp_path: Path, list_name: str) -> None:
    for folder, count in (("train2017", 2), ("val2017", 3)):
        (tmp_path / folder).mkdir()
        for row in range(count):
            (tmp_path / folder / f"{row}.jpg").write_bytes(jpeg(row + (10 if folder == "train2017" else 0)))
    images = [{"id": row, "file_name": f"{row}.jpg"} for row in range(3)]
    annotations = [{"image_id": row, "id": row, "caption": f"caption {row}"} for row in range(3)]
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / list_name).write_text(json.dumps({"images": images, "annotations": annotations}))
    samples = read_all(input=tmp_path)
    assert [sample.image for sample in samples] == [jpeg(10), jpeg(11), None]
    assert reasons(samples) == [None, None, "no-image"]


def test_a_folder_whose_name_is_only_letters_of_the_lists_name_is_not_meant(tmp_path: Path) -> None:
    for folder in ("train", "test"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "0.jpg").write_bytes(jpeg(0))
    document = {"images": [{"id": 1, "file_name": "0.jpg"}], "annotations": captions((1, "a red barn"))}
    (tmp_path / "captions_latest.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="its images are in test and in train"):
        planned(input=tmp_path, input_format="coco")


def test_two_images_of_one_id_are_rejected(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "0.jpg"}, {"id": 2, "file_name": "1.jpg"}, {"id": 1, "file_name": "2.jpg"}]
    data = write(tmp_path, captions((1, "of either"), (2, "a blue boat")), images)
    samples = read_all(input=data)
    assert reasons(samples) == ["duplicate-key", None]
    assert "0.jpg and 2.jpg have the same id" in str(samples[0].reject and samples[0].reject.message)

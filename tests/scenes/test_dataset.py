"""Datasets on disk and batches for a trainer."""

import io
import json
import re
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from scenes.dataset import SCHEMA, sample, write_dataset
from scenes.grammar import Thing, held_out
from scenes.plan import plan
from scenes.stream import sample_captions
from scenes.words import SIZE_WORDS

SIZES = "|".join(word for words in SIZE_WORDS.values() for word in words)


def test_parquet_holds_pictures_captions_and_the_truth(tmp_path):
    files = write_dataset(tmp_path / "set", 120, 7, "test", wrong={"attribute": 0.25}, size=48)
    table = pq.read_table(files)
    assert table.schema.equals(SCHEMA)
    rows = table.to_pylist()
    assert len(rows) == 120
    assert sum(row["caption_kind"] == "attribute" for row in rows) == 30
    for row in rows:
        assert Image.open(io.BytesIO(row["image"])).size == (48, 48)
        assert (row["caption"] == row["true_caption"]) == (row["caption_kind"] == "true")
        assert len(row["uid"]) == 32
        for thing in json.loads(row["scene"])["things"]:
            assert held_out(Thing(thing["colour"], thing["shape"], thing["size"]))


def test_the_number_of_processes_changes_no_byte(tmp_path):
    one = write_dataset(tmp_path / "one", 600, 7, wrong={"other": 0.1})
    two = write_dataset(tmp_path / "two", 600, 7, wrong={"other": 0.1}, processes=2)
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_a_folder_holds_a_caption_beside_each_picture_and_nothing_else(tmp_path):
    (truth,) = write_dataset(tmp_path, 20, 7, wrong={"similar": 0.5}, layout="folder")
    rows = pq.read_table(truth).to_pylist()
    images = tmp_path / "images"
    assert len(list(images.iterdir())) == 40
    for row in rows:
        assert (images / f"{row['key']}.txt").read_text(encoding="utf-8") == row["caption"] + "\n"
        assert Image.open(images / f"{row['key']}.jpg").format == "JPEG"


def test_a_folder_in_use_and_bad_arguments_are_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not empty"):
        write_dataset(tmp_path, 10, 0)
    with pytest.raises(ValueError, match="size 16 at least 32"):
        write_dataset(tmp_path / "new", 10, 0, size=16)
    with pytest.raises(ValueError, match="layout"):
        write_dataset(tmp_path / "new", 10, 0, layout="tar")
    assert not (tmp_path / "new").exists()


def test_batches_resume_where_they_were_left():
    stream = sample(32, 1, near=1)
    first, second = next(stream), next(stream)
    resumed = next(sample(32, 1, near=1, start=1))
    assert first[0].shape == (32, 64, 64, 3)
    assert first[0].dtype == np.uint8
    assert np.array_equal(second[0], resumed[0])
    assert second[1] == resumed[1]
    assert not np.array_equal(first[0], second[0])


def test_near_misses_follow_their_scene_and_differ_from_it_in_one_attribute():
    images, texts = next(sample(64, 2, near=3))
    assert len(set(texts)) == 64
    groups = [(images[start : start + 4], texts[start : start + 4]) for start in range(0, 64, 4)]
    shared = [len({*a.split()} & {*b.split()}) / len({*a.split()}) for _, (a, *others) in groups for b in others]
    assert np.mean(shared) > 0.6
    assert all(not np.array_equal(first, other) for (first, *others), _ in groups for other in others)
    # All but what changed stays where it was: most of each picture is the same, unless its background changed.
    same = [np.mean(np.all(first == other, axis=-1)) for (first, *others), _ in groups for other in others]
    assert np.median(same) > 0.7


def test_single_things_can_be_asked_for():
    _, texts = next(sample(64, 2, near=1, most_things=1))
    assert all(len(re.findall(rf"\b({SIZES})\b", text, re.IGNORECASE)) == 1 for text in texts)
    _, texts = next(sample(64, 2, near=1))
    assert any(len(re.findall(rf"\b({SIZES})\b", text, re.IGNORECASE)) == 3 for text in texts)


def test_captions_come_with_another_wording_of_the_same_scene():
    stream = sample_captions(64, 2, near=3)
    others, texts = next(stream)
    assert texts == next(sample(64, 2, near=3))[1]
    assert sum(other != text for other, text in zip(others, texts, strict=True)) > 50
    second = next(stream)
    assert next(sample_captions(64, 2, near=3, start=1)) == second


def test_no_caption_of_a_group_fits_the_picture_of_another():
    """With a background that is not named, two wordings of near misses could mean the same."""
    others, texts = next(sample_captions(512, 2, near=3))
    groups = [{*range(start, start + 4)} for start in range(0, 512, 4)]
    assert all(others[i] != texts[j] for group in groups for i in group for j in group - {i})


def test_every_size_occurs_in_every_layout():
    counted = Counter(
        (type(row.picture.scene.layout).__name__, thing.size)
        for row in plan(3000, 0)
        for thing in row.picture.scene.things
    )
    assert {layout for layout, _ in counted} == {"Cell", "Beside", "Line", "Corner"}
    assert len(counted) == 12, counted

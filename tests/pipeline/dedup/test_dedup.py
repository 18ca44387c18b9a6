"""Which rows are marked as duplicates, and of what."""

from __future__ import annotations

import io
import multiprocessing as mp
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from pipeline import schema, table
from pipeline.dedup import Deduplicated, DedupOptions, dedup_table
from pipeline.dedup.perceptual import near_pairs
from pipeline.dedup.semantic import ROWS_PER_CLUSTER
from pipeline.errors import IdentityError, TableError
from pipeline.filtering import Selection, filter_table, one_cut
from pipeline.table import columns
from tests.embedding import embed
from tests.pipeline.table.test_commit import committer, some_rows
from tests.rows import rows_of
from tests.samples import jpeg, write_parquet
from tests.tables import uids, write_table


def dedup(path: Path, method: str = "exact", **more: Any) -> Deduplicated:
    """Marks duplicates, and compares what is counted with the marks."""
    found = dedup_table(DedupOptions.model_validate({"table": str(path), "method": method, **more}))
    assert len(marks(path)) == found.duplicates + found.marked_before
    return found


def marks(path: Path) -> dict[int, str]:
    """What each row is marked as a duplicate of: the row's number, else the mark as it is."""
    rows = rows_of(path).values()
    numbers = {row["uid"]: row["key"] for row in rows}
    return {int(row["key"]): numbers.get(mark, mark) for row in rows if (mark := row["duplicate_of"]) is not None}


def smallest_stay(path: Path, *groups: set[int]) -> dict[int, str]:
    """The marks where of each group of rows the one of the smallest uid stays."""
    uids = {int(row["key"]): row["uid"] for row in rows_of(path).values()}
    stays = [(group, min(group, key=lambda row: uids[row])) for group in groups]
    return {row: str(first) for group, first in stays for row in group - {first}}


def unit(angles: list[float]) -> np.ndarray:
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def table_of(path: Path, images: list[str], angles: list[float] | None = None, **more: Any) -> Path:
    """A table with an image, named by a letter, and a direction of its vector for each row."""
    vectors = unit(angles or [0.0] * len(images))
    return write_table(path, vectors, vectors, image_sha256=[image * 64 for image in images], **more)


def test_of_equal_images_the_smallest_uid_stays(tmp_path: Path) -> None:
    path = table_of(tmp_path / "t", list("abacba"))
    found = dedup(path)
    assert marks(path) == smallest_stay(path, {0, 2, 5}, {1, 4})
    assert (found.rows, found.groups, found.duplicates, found.marked_before) == (6, 2, 3, 0)
    for row in rows_of(path).values():
        assert row["duplicate_method"] == ("exact" if row["duplicate_of"] else None)


def test_the_whole_digest_counts(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t", unit([0.0] * 3), unit([0.0] * 3))  # digests that differ in their last digit
    assert dedup(path).duplicates == 0


def test_a_second_run_changes_nothing_and_writes_nothing(tmp_path: Path) -> None:
    path = table_of(tmp_path / "t", list("aab"))
    dedup(path)
    version = table.open_table(table.parse(str(path))).version
    found = dedup(path)
    assert (found.rows, found.duplicates, found.marked_before) == (2, 0, 1)
    assert table.open_table(table.parse(str(path))).version == version


def test_rejected_rows_and_rows_without_an_image_are_never_duplicates(tmp_path: Path) -> None:
    vectors = unit([0.0] * 4)
    path = write_table(
        tmp_path / "t",
        vectors,
        vectors,
        image_sha256=["a" * 64, "a" * 64, None, None],
        status=["success", "rejected", "success", "success"],
    )
    assert dedup(path).duplicates == 0
    assert marks(path) == {}


def test_a_filter_leaves_duplicates_out(tmp_path: Path) -> None:
    path = table_of(tmp_path / "t", list("aab"))
    dedup(path)
    kept = Selection(one_cut("cosine", min=-1.0), where="duplicate_of IS NULL")
    assert filter_table(table.open_table(table.parse(str(path))), kept, tmp_path / "out").kept == 2


def append(path: Path, images: list[str], first_uid: int) -> None:
    """Rows of another source, in the same table."""
    other = table_of(path.parent / f"other{first_uid}", images)
    uri = table.parse(str(path))
    opened = table.open_table(uri)
    rows = table.open_table(table.parse(str(other))).lance.to_table()
    rows = rows.set_column(
        0, rows.schema.field(0), [[f"{first_uid + int(key):032x}" for key in rows["key"].to_pylist()]]
    )
    place = rows.schema.names.index("source")
    rows = rows.set_column(place, rows.schema.field(place), [[f"more-{name}" for name in rows["source"].to_pylist()]])
    for name in opened.schema.names:
        if name not in rows.schema.names:
            rows = rows.append_column(opened.schema.field(name), pa.nulls(len(images), pa.string()))
    rows = rows.select(opened.schema.names).cast(opened.schema)
    table.Committer(uri, opened.schema, opened).commit([table.stage(uri, rows)])


def test_only_new_judges_what_was_appended_against_all_and_an_old_row_stays(tmp_path: Path) -> None:
    vectors = unit([0.0] * 3)
    own = [f"{uid:032x}" for uid in (10, 11, 12)]
    path = write_table(tmp_path / "t", vectors, vectors, image_sha256=[x * 64 for x in "aab"], uid=own)
    dedup(path)
    append(path, list("bcc"), 0)  # smaller uids than those that are there
    found = dedup(path, only_new=True)
    assert (found.rows, found.duplicates) == (3, 2)
    of = {key: row["duplicate_of"] for key, row in rows_of(path).items()}
    assert of == {
        ("a.parquet", 0): None,
        ("a.parquet", 1): own[0],
        ("b.parquet", 0): None,
        ("more-a.parquet", 0): own[2],
        ("more-a.parquet", 1): None,
        ("more-b.parquet", 0): f"{1:032x}",
    }
    assert dedup(path, only_new=True).rows == 0


@pytest.mark.parametrize("method", ["exact", "semantic"])
def test_what_another_table_has_is_marked_and_nothing_else(tmp_path: Path, method: str) -> None:
    path = table_of(tmp_path / "t", list("aabb"), [0.0, 0.0, 1.0, 1.0])
    test_set = table_of(tmp_path / "test-set", list("xb"), [2.0, 1.0])
    found = dedup(path, method, against=str(test_set))
    theirs = dict.fromkeys((2, 3), f"test-set#{uids(2)[1]}")
    assert marks(path) == theirs
    assert (found.rows, found.groups, found.duplicates) == (4, 1, 2)
    assert "duplicate_of" not in table.open_table(table.parse(str(test_set))).schema.names
    dedup(path, method)
    assert marks(path) == theirs | smallest_stay(path, {0, 1})


def test_duplicates_within_the_other_table_are_none_of_this_one(tmp_path: Path) -> None:
    path, other = table_of(tmp_path / "t", list("cab")), table_of(tmp_path / "o", list("aaca"))
    found = dedup(path, against=str(other))
    assert (found.rows, found.groups, found.duplicates) == (3, 2, 2)
    assert marks(path) == {0: f"o#{uids(4)[2]}", 1: f"o#{min(uids(4)[row] for row in (0, 1, 3))}"}


def test_only_new_is_not_misled_by_an_evaluation_set_of_the_same_name_or_one_that_has_grown(tmp_path: Path) -> None:
    path = table_of(tmp_path / "t", list("abc"))
    sets = [table_of(tmp_path / folder / "test-set", [image]) for folder, image in [("one", "a"), ("two", "b")]]
    assert [dedup(path, against=str(found), only_new=True).duplicates for found in sets] == [1, 1]
    assert dedup(path, against=str(sets[0]), only_new=True).rows == 0
    append(sets[0], ["c"], 7)
    assert dedup(path, against=str(sets[0]), only_new=True).duplicates == 1


def test_vectors_of_another_model_are_not_compared(tmp_path: Path) -> None:
    path, other = table_of(tmp_path / "t", ["a"]), write_table(tmp_path / "o", np.eye(3), np.eye(3))
    with pytest.raises(IdentityError, match=r"dimension 3, but those of .* with 2"):
        dedup(path, "semantic", against=str(other))


@pytest.mark.parametrize(
    ("order", "marked"), [((0, 1, 2, 3, 4), {1: "0", 3: "2"}), ((2, 4, 1, 3, 0), {1: "2", 3: "2"})]
)
def test_semantic_marks_what_is_near_one_that_stays(
    tmp_path: Path, order: tuple[int, ...], marked: dict[int, str]
) -> None:
    """Steps of 0.1 rad: neighbours have a cosine of 0.995, the next but one of 0.980."""
    own = [f"{number:032x}" for number in order]
    path = table_of(tmp_path / "t", list("abcde"), [0.0, 0.1, 0.2, 0.3, 2.0], uid=own)
    assert dedup(path, "semantic", eps=0.01).duplicates == 2
    assert marks(path) == marked


def test_semantic_finds_in_many_clusters_what_comparing_all_finds(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("pipeline.dedup.semantic.ROWS_PER_CLUSTER", 50)
    monkeypatch.setattr("pipeline.dedup.semantic.ROWS_PER_BATCH", 120)
    monkeypatch.setattr("pipeline.dedup.semantic._PER_BLOCK", 16)
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((300, 16))
    vectors = np.concatenate([vectors, vectors[:100] + 0.01 * rng.standard_normal((100, 16))])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    path = write_table(tmp_path / "t", vectors, vectors)
    assert dedup(path, "semantic").duplicates == 100
    assert marks(path) == smallest_stay(path, *({row, 300 + row} for row in range(100)))


def test_semantic_in_several_clusters_changes_nothing_again_and_finds_lost_marks_anew(tmp_path: Path) -> None:
    vectors = np.random.default_rng(5).standard_normal((5 * ROWS_PER_CLUSTER // 2, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    path = write_table(tmp_path / "t", vectors, vectors)
    uri = table.parse(str(path))
    found = dedup(path, "semantic")
    assert found.duplicates > len(vectors) // 4
    whole, version = marks(path), table.open_table(uri).version
    again = dedup(path, "semantic")
    assert (again.duplicates, again.marked_before) == (0, found.duplicates)
    assert table.open_table(uri).version == version
    batches = table.open_table(uri).scan(["uid"], "duplicate_of IS NOT NULL", addresses=True)
    addresses = np.concatenate([batch[table.ROW_ADDRESS].to_numpy() for batch in batches])
    table.clear_values(uri, addresses[::2], schema.DUPLICATES)
    dedup(path, "semantic")
    assert marks(path) == whole


def test_marks_of_several_methods_add_up_and_reset_takes_them_back(tmp_path: Path) -> None:
    path = table_of(tmp_path / "t", list("aabc"), [0.0, 0.0, 1.0, 1.0])
    dedup(path)
    dedup(path, "semantic")
    assert marks(path) == smallest_stay(path, {0, 1}, {2, 3})
    methods = {int(row["key"]): row["duplicate_method"] for row in rows_of(path).values()}
    assert {methods[row] for row in (0, 1)} == {None, "exact"}
    assert {methods[row] for row in (2, 3)} == {None, "semantic"}
    dedup(path, reset=True)
    assert marks(path) == smallest_stay(path, {0, 1})


def test_rows_of_one_uid_are_refused(tmp_path: Path) -> None:
    vectors = unit([0.0, 0.0])
    path = write_table(tmp_path / "t", vectors, vectors, uid=["0" * 32] * 2)
    with pytest.raises(TableError, match="several rows have the same uid"):
        dedup(path)


@pytest.mark.parametrize("distance", [0, 1, 8, 15])
def test_banding_finds_every_near_pair(distance: int) -> None:
    rng = np.random.default_rng(distance)
    words = rng.integers(0, 1 << 64, (300, 2), np.uint64)
    for row in range(150, 300):
        words[row] = words[row - 150]
        for bit in rng.integers(0, 128, rng.integers(0, 20)):
            words[row, bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
    apart = np.bitwise_count(words[:, None] ^ words[None]).sum(2)
    wanted = {(i, j) for i, j in zip(*np.nonzero(apart <= distance), strict=True) if i < j}
    found = {pair for one, two in near_pairs(words, distance) for pair in zip(one.tolist(), two.tolist(), strict=True)}
    assert found == wanted
    assert wanted


def test_perceptual_marks_what_comparing_each_row_with_all_that_stay_marks(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    bits = rng.integers(0, 2, (6, 128))[rng.integers(0, 6, 250)] ^ (rng.random((250, 128)) < 0.04)
    hashes = [np.packbits(row).tobytes().hex() for row in bits]
    vectors = unit([0.0] * 250)
    path = write_table(tmp_path / "t", vectors, vectors, image_hash=hashes)
    stays, wanted = list[int](), dict[int, str]()
    for row in np.argsort(uids(250)).tolist():
        near = [other for other in stays if (bits[other] != bits[row]).sum() <= 8]
        wanted |= {row: str(near[0])} if near else {}
        stays += [] if near else [row]
    dedup(path, "perceptual")
    assert marks(path) == wanted
    assert len(set(wanted.values())) > 10


@pytest.mark.parametrize(("method", "option"), [("exact", {"distance": 4}), ("perceptual", {"eps": 0.1})])
def test_a_limit_of_another_method_is_refused(tmp_path: Path, method: str, option: dict[str, float]) -> None:
    path = table_of(tmp_path / "t", ["a"])
    with pytest.raises(ValueError, match=f"--{next(iter(option))} is only for --method .*: leave it out"):
        dedup(path, method, **option)


def again(image: bytes) -> bytes:
    """The image in another size and quality."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(image)).resize((64, 48)).save(buffer, "JPEG", quality=60)
    return buffer.getvalue()


@pytest.fixture
def photos(tmp_path: Path, model: Path) -> Path:
    """A table of three photos, and of two of them again in another quality."""
    images = [jpeg(0), jpeg(1), jpeg(2), again(jpeg(0)), again(jpeg(1)), jpeg(2)]
    write_parquet(tmp_path / "in" / "a.parquet", images, [f"caption {row}" for row in range(6)])
    embed(tmp_path / "in", tmp_path / "t", model)
    return tmp_path


def groups(path: Path) -> list[set[int]]:
    """Rows that stay, each with its duplicates."""
    found: dict[str, set[int]] = {}
    for (_, number), row in rows_of(path).items():
        found.setdefault(row["duplicate_of"] or row["uid"], set()).add(number)
    return sorted(found.values(), key=min)


def test_perceptual_finds_an_image_in_another_quality(photos: Path) -> None:
    dedup(photos / "t")
    assert groups(photos / "t") == [{0}, {1}, {2, 5}, {3}, {4}]
    found = dedup(photos / "t", "perceptual", input=[str(photos / "in")], reset=True)
    assert groups(photos / "t") == [{0, 3}, {1, 4}, {2, 5}]
    assert (found.rows, found.groups, found.duplicates, found.hashed) == (6, 3, 3, 6)


def test_hashes_are_made_once_and_need_the_input(photos: Path) -> None:
    with pytest.raises(TableError, match="6 images have no perceptual hash yet; give the --input"):
        dedup(photos / "t", "perceptual")
    assert dedup(photos / "t", "perceptual", input=[str(photos / "in")]).hashed == 6
    assert dedup(photos / "t", "perceptual").hashed == 0


def test_perceptual_against_a_table_that_has_hashes(photos: Path, model: Path) -> None:
    write_parquet(photos / "test" / "a.parquet", [again(jpeg(1))], ["x"])
    embed(photos / "test", photos / "test-set", model)
    with pytest.raises(TableError, match="some images have no perceptual hash"):
        dedup(photos / "t", "perceptual", input=[str(photos / "in")], against=str(photos / "test-set"))
    dedup(photos / "test-set", "perceptual", input=[str(photos / "test")])
    dedup(photos / "t", "perceptual", input=[str(photos / "in")], against=str(photos / "test-set"))
    uid = next(iter(rows_of(photos / "test-set").values()))["uid"]
    assert marks(photos / "t") == {1: f"test-set#{uid}", 4: f"test-set#{uid}"}


def _killed_at_commit(address: str, number: int) -> None:
    commit, calls = columns.commit_columns, []
    columns.ROWS_PER_COMMIT = 4

    def fatal(*arguments: Any) -> bool:
        calls.append(None)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return commit(*arguments)

    columns.commit_columns = fatal
    dedup(Path(address), "semantic")


@pytest.mark.parametrize("number", [1, 3])
def test_killed_between_commits_it_goes_on_to_the_same_marks(tmp_path: Path, number: int) -> None:
    uri = table.parse(str(tmp_path / "t"))
    for start in range(0, 20, 4):
        committer(uri).commit([table.stage(uri, some_rows(start, start + 4))])
    run = mp.get_context("spawn").Process(target=_killed_at_commit, args=(str(uri), number))
    run.start()
    run.join()
    assert run.exitcode == -signal.SIGKILL
    judged = [row["dedup_judged"] for row in rows_of(tmp_path / "t").values()]
    assert judged.count("semantic") == 4 * (number - 1)
    dedup(tmp_path / "t", "semantic")
    rows = rows_of(tmp_path / "t")
    stays = min(row["uid"] for row in rows.values())
    assert {row["duplicate_of"] for row in rows.values() if row["uid"] != stays} == {stays}
    assert [row["uid"] for row in rows.values() if row["duplicate_of"] is None] == [stays]

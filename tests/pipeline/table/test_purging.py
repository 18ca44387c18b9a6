"""A purge deletes the bytes of removed pairs, and nothing else; and what others do at that time stays right."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pytest

from pipeline import schema, table
from pipeline.errors import TableError
from pipeline.processes import place
from pipeline.table import Committer, Lease, TableUri, lease, plan_purge, purge, purging, remove_rows
from pipeline.verify import VerifyOptions, verify
from tests.pipeline.verify.test_leftovers import enter, holder
from tests.rows import rows_of
from tests.tables import in_fragments, write_table

COUNT, DIMENSION = 60, 32


def captions() -> list[str]:
    """Texts of random digits: no encoding makes them shorter, so their bytes stand in the file as they are."""
    random = np.random.default_rng(5)
    return [random.bytes(40).hex() for _ in range(COUNT)]


def vectors(seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(COUNT, DIMENSION))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@pytest.fixture
def uri(tmp_path: Path) -> TableUri:
    """Sixty rows in six fragments, whose bytes are found in the files."""
    whole = write_table(tmp_path / "whole", vectors(1), vectors(2), caption=captions())
    return in_fragments(whole, tmp_path / "t", rows=10)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr(lease, "PATIENCE_SECONDS", 2.0)


def traces(uri: TableUri, row: int) -> set[str]:
    """Which of a row's contents stand in any file of the table's folder, as bytes."""
    contents = {
        "caption": captions()[row].encode(),
        "image": vectors(1)[row].astype(np.float16).tobytes(),
        "text": vectors(2)[row].astype(np.float16).tobytes(),
    }
    files = [path.read_bytes() for path in Path(uri.dataset).rglob("*") if path.is_file()]
    return {name for name, content in contents.items() if any(content in file for file in files)}


def rows(uri: TableUri) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in rows_of(f"{uri.database}/{uri.name}").values()}


def in_order(uri: TableUri) -> pa.Table:
    """All rows, in the order of their numbers."""
    read = lance.dataset(uri.dataset).to_table()
    return read.take(np.argsort([int(key) for key in read["key"].to_pylist()]))


def versions(uri: TableUri) -> list[int]:
    return [version["version"] for version in lance.dataset(uri.dataset).versions()]


def purged(uri: TableUri) -> list[str]:
    """Purges as agreed; gives the tags that were deleted."""
    return [tag.name for tag in purge(uri, [tag.name for tag in plan_purge(uri).tags]).tags]


def assert_well(uri: TableUri) -> None:
    assert verify(VerifyOptions(table=str(uri))).problems == []


EVERYTHING = {"caption", "image", "text"}


def test_no_file_holds_a_removed_pair_and_other_rows_are_the_same_bit_by_bit(uri: TableUri) -> None:
    before = rows(uri)
    assert traces(uri, 7) == traces(uri, 8) == EVERYTHING
    remove_rows(uri, "key IN ('7', '33')")
    assert traces(uri, 7) == traces(uri, 33) == EVERYTHING, "a removal alone hides"
    old = versions(uri)
    assert purged(uri) == []
    assert traces(uri, 7) == traces(uri, 33) == set()
    assert traces(uri, 8) == EVERYTHING
    assert not set(versions(uri)) & set(old)
    after = rows(uri)
    assert {key for key, row in after.items() if row["status"] == schema.REMOVED} == {"7", "33"}
    assert {key: row for key, row in after.items() if key not in ("7", "33")} == {
        key: row for key, row in before.items() if key not in ("7", "33")
    }
    assert_well(uri)


def test_a_purge_is_repeatable_and_later_removals_are_purged_too(uri: TableUri) -> None:
    remove_rows(uri, "key = '7'")
    purged(uri)
    first = rows(uri)
    purged(uri)
    assert rows(uri) == first
    remove_rows(uri, "key = '8'")
    purged(uri)
    assert traces(uri, 8) == set()
    assert_well(uri)


def test_rows_of_whole_fragments_and_of_merged_ones_are_purged(uri: TableUri) -> None:
    remove_rows(uri, "CAST(key AS INT) < 15")
    Committer(uri, table.open_table(uri).schema, table.open_table(uri)).merge_fragments(run_is_over=True)
    remove_rows(uri, "key = '20'")
    purged(uri)
    assert [traces(uri, row) for row in (3, 12, 20)] == [set()] * 3
    assert traces(uri, 21) == EVERYTHING
    assert_well(uri)


def test_of_the_tags_only_those_that_hold_a_removed_pair_go(uri: TableUri) -> None:
    before = lance.dataset(uri.dataset).version
    remove_rows(uri, "key = '7'")
    dataset = lance.dataset(uri.dataset)
    dataset.tags.create("hidden", dataset.version)  # its rows are without the pair, its files are not
    assert [tag.name for tag in plan_purge(uri).tags] == ["hidden"]
    dataset.tags.create("before", before)
    assert purged(uri) == ["before", "hidden"]
    dataset = lance.dataset(uri.dataset)
    dataset.tags.create("clean", dataset.version)
    kept = dataset.to_table().to_pylist()
    remove_rows(uri, "key = '8' AND false")
    purged(uri)
    assert list(lance.dataset(uri.dataset).tags.list()) == ["clean"]
    assert lance.dataset(uri.dataset, version="clean").to_table().to_pylist() == kept
    remove_rows(uri, "key = '8'")
    assert purged(uri) == ["clean"]
    assert traces(uri, 8) == set()


def test_a_tag_of_a_time_before_the_pair_was_embedded_stays(tmp_path: Path, uri: TableUri) -> None:
    whole = in_order(uri)
    other = table.parse(str(tmp_path / "grown"))
    Committer(other, whole.schema, None).commit([table.stage(other, whole.slice(0, 30))])
    lance.dataset(other.dataset).tags.create("first", 1)
    opened = table.open_table(other)
    Committer(other, whole.schema, opened).commit([table.stage(other, whole.slice(30))])
    remove_rows(other, "key = '45'")
    assert purged(other) == []
    assert traces(other, 45) == set()
    assert lance.dataset(other.dataset, version="first").to_table().equals(whole.slice(0, 30))


def test_rows_that_are_to_be_removed_first_are_counted_in(uri: TableUri) -> None:
    dataset = lance.dataset(uri.dataset)
    dataset.tags.create("before", dataset.version)
    assert plan_purge(uri).tags == []
    found = table.find_rows(table.open_table(uri), "key = '7'", None)
    assert [tag.name for tag in plan_purge(uri, found).tags] == ["before"]
    assert rows(uri)["7"]["status"] == schema.SUCCESS


def test_a_tag_that_nobody_agreed_to_stops_the_purge(uri: TableUri) -> None:
    remove_rows(uri, "key = '7'")
    lance.dataset(uri.dataset).tags.create("meanwhile", 1)
    with pytest.raises(TableError, match="the tag 'meanwhile' was made meanwhile"):
        purge(uri, [])
    assert traces(uri, 7) == EVERYTHING
    assert lance.dataset(uri.dataset, version="meanwhile").count_rows() == COUNT


def test_indexes_forget_removed_pairs_and_cover_the_others(uri: TableUri) -> None:
    dataset = lance.dataset(uri.dataset)
    dataset.create_scalar_index("caption", "INVERTED", stem=False, remove_stop_words=False, max_token_length=None)
    dataset.create_scalar_index("uid", "BTREE")
    dataset.create_index("image_vector", "IVF_FLAT", num_partitions=2, metric="dot")
    remove_rows(uri, "key = '7'")
    purged(uri)
    assert traces(uri, 7) == set()
    assert [(index.name, index.rows_without) for index in table.list_indexes(table.open_table(uri))] == [
        *(("caption_idx", 0), ("image_vector_idx", 0), ("uid_idx", 0)),
    ]
    assert len(list(Path(uri.dataset, "_indices").iterdir())) == 3
    (words,) = lance.dataset(uri.dataset).stats.index_stats("caption_idx")["indices"]
    assert words["num_tokens"] == words["num_docs"] == COUNT - 1
    found = lance.dataset(uri.dataset).to_table(["key"], full_text_query=captions()[8])
    assert found["key"].to_pylist() == ["8"]
    assert_well(uri)


def test_a_vector_that_became_a_centroid_of_an_index_goes(tmp_path: Path) -> None:
    """A removed outlier has a partition of the index to itself."""
    near = np.tile(vectors(1)[0], (COUNT, 1)) + 0.01 * vectors(3)
    near[7] = vectors(1)[7]
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    whole = write_table(tmp_path / "whole", near, vectors(2), caption=captions())
    uri = in_fragments(whole, tmp_path / "t", rows=10)
    lance.dataset(uri.dataset).create_index("image_vector", "IVF_FLAT", num_partitions=2, metric="dot")
    remove_rows(uri, "key = '7'")
    lance.dataset(uri.dataset).optimize.compact_files(materialize_deletions_threshold=0)
    assert "image" in traces(uri, 7)
    purged(uri)
    assert traces(uri, 7) == set()


def test_contents_that_a_repair_took_from_a_tombstone_are_purged(uri: TableUri) -> None:
    """As another program leaves them: a row that is called removed, with all that it had."""
    lance.dataset(uri.dataset).update({"status": "'removed'"}, "key = '7'")
    report = verify(VerifyOptions(table=str(uri), repair=True))
    assert [mended.check for mended in report.mended] == ["removed-rows", "scores"]
    assert traces(uri, 7) == EVERYTHING
    lance.dataset(uri.dataset).tags.create("repaired", lance.dataset(uri.dataset).version)
    assert purged(uri) == ["repaired"]
    assert traces(uri, 7) == set()
    assert rows(uri)["7"]["status"] == schema.REMOVED
    assert_well(uri)


def test_a_tag_of_tombstones_beside_captions_that_came_later_stays(tmp_path: Path, uri: TableUri) -> None:
    """New captions are in a file of their own too, but nothing is behind them."""
    rows = in_order(uri).slice(0, 6)
    place_in_schema = rows.schema.get_field_index("caption")
    bare = rows.set_column(place_in_schema, rows.schema.field("caption"), pa.nulls(6, pa.string()))
    other = table.parse(str(tmp_path / "bare"))
    Committer(other, rows.schema, None).commit([table.stage(other, bare)])
    remove_rows(other, "key = '3'")
    purged(other)
    Committer(other, rows.schema, table.open_table(other)).merge_fragments(run_is_over=True)
    texts = list(table.fill_columns(other, "caption", ["key"], "status = 'success'", captions_by_key))
    assert texts == [5]
    dataset = lance.dataset(other.dataset)
    dataset.tags.create("captioned", dataset.version)
    assert plan_purge(other).tags == []


def captions_by_key(batch: pa.RecordBatch) -> dict[str, pa.Array]:
    return {"caption": pa.array([captions()[int(key)] for key in batch["key"].to_pylist()])}


def test_what_dead_runs_have_left_goes_too(uri: TableUri) -> None:
    held = lance.dataset(uri.dataset).to_table(filter="key = '7'")
    remove_rows(uri, "key = '7'")
    table.stage(uri, held)
    Path(uri.dataset, "_indices", "0000").mkdir(parents=True)
    Path(uri.dataset, "_indices", "0000", "part.lance").write_bytes(captions()[7].encode())
    enter(uri, holder(place=place(), pid=2**22 + 1))
    purged(uri)
    assert traces(uri, 7) == set()
    assert lease.read_holders(table.open_table(uri)) == {}


@pytest.fixture
def another_at_work(uri: TableUri) -> Iterator[Lease]:
    with Lease(uri, "embed of in") as held:
        held.keep()
        yield held


def test_while_another_run_is_at_work_it_refuses_and_names_it(uri: TableUri, another_at_work: Lease) -> None:
    remove_rows(uri, "key = '7'")
    before = versions(uri)
    for act in (lambda: plan_purge(uri), lambda: purge(uri, [])):
        with pytest.raises(TableError, match=f"embed of in on .* .process {os.getpid()}.*wait until it finishes"):
            act()
    assert set(before) <= set(versions(uri))
    assert traces(uri, 7) == EVERYTHING


def test_under_a_silent_run_elsewhere_it_refuses(uri: TableUri) -> None:
    remove_rows(uri, "key = '7'")
    enter(uri, holder())
    with pytest.raises(TableError, match="may only be suspended"):
        plan_purge(uri)


def test_a_commit_from_a_version_before_a_purge_is_made_anew(tmp_path: Path, uri: TableUri) -> None:
    """Of a run that has planned before and commits afterwards; also where a tag keeps the version that it knows."""
    whole = in_order(uri)
    other = table.parse(str(tmp_path / "grown"))
    Committer(other, whole.schema, None).commit([table.stage(other, whole.slice(0, 30))])
    lance.dataset(other.dataset).tags.create("first", 1)
    stale = Committer(other, whole.schema, table.open_table(other))
    Committer(other, whole.schema, table.open_table(other)).commit([table.stage(other, whole.slice(35))])
    remove_rows(other, "key IN ('3', '45')")
    assert purged(other) == ["first"]
    assert stale.commit([table.stage(other, whole.slice(30, 20))]).total() == 5
    after = rows(other)
    assert len(after) == COUNT
    assert {key for key, row in after.items() if row["status"] == schema.REMOVED} == {"3", "45"}
    assert_well(other)


@pytest.mark.parametrize("is_tagged", [False, True])
def test_what_another_program_commits_from_before_a_purge_is_refused(uri: TableUri, is_tagged: bool) -> None:
    """Lance compares it with the commits since, where their versions are there: only the purge's last ones are."""
    stale = lance.dataset(uri.dataset)
    keys = stale.get_fragments()[0].to_table(["key"])["key"].to_pylist()
    remove_rows(uri, " OR ".join(f"key = '{key}'" for key in keys))  # a whole fragment, so there is none to rewrite
    if is_tagged:
        stale.tags.create("old", stale.version)
    purge(uri, ["old"])
    with pytest.raises(OSError, match="conflict"):
        stale.add_columns(pa.schema([("later", pa.int8())]))
    assert {rows(uri)[key]["status"] for key in keys} == {schema.REMOVED}
    assert_well(uri)


def test_a_run_that_begins_during_a_purge_keeps_its_staged_files(
    uri: TableUri, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins after the last look at who is at work, which is the worst moment."""
    new = lance.dataset(uri.dataset).to_table(filter="key = '8'")
    place_in_schema = new.schema.get_field_index("source")
    new = new.set_column(place_in_schema, new.schema.field("source"), pa.array(["later.parquet"]))
    remove_rows(uri, "key = '7'")
    runs: list[tuple[Lease, Committer, Any]] = []
    real = purging._delete_versions

    def beginning(*arguments: Any) -> Any:
        held = Lease(uri, "embed of later")
        held.keep()
        opened = table.open_table(uri)
        runs.append((held, Committer(uri, opened.schema, opened), table.stage(uri, new)))
        return real(*arguments)

    monkeypatch.setattr(purging, "_delete_versions", beginning)
    with pytest.raises(TableError, match=r"embed of later.*it began meanwhile"):
        purge(uri, [])
    ((held, committer, staged),) = runs
    with held:
        assert committer.commit([staged]).total() == 1
    assert len(rows_of(f"{uri.database}/{uri.name}")) == COUNT + 1
    assert traces(uri, 7) == set()


def test_a_table_without_removed_rows_stays_as_it_is(uri: TableUri) -> None:
    before = rows(uri)
    assert purged(uri) == []
    assert rows(uri) == before
    assert_well(uri)

"""Building indexes, measuring them, and keeping them up to date beside other runs."""

from __future__ import annotations

from pathlib import Path

import lance
import lancedb
import numpy as np
import pyarrow as pa
import pytest
from lancedb.index import IvfFlat

from pipeline import indexing, schema, scoring, search, table
from pipeline.errors import TableError, UsageError
from pipeline.indexing import OnValues, OnVectors
from pipeline.indexing.measuring import QUERIES, draw
from pipeline.indexing.optimize import optimize
from pipeline.table import TableUri
from tests.tables import in_fragments, write_table
from tests.vectors_in_clusters import add_rows, clustered, found_by, recall

COUNT = 3_000


@pytest.fixture
def uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TableUri:
    monkeypatch.setattr("pipeline.table.compact.ROWS_PER_FRAGMENT", 65_536)
    return table.parse(str(write_table(tmp_path / "t", *clustered(COUNT))))


def index(
    uri: TableUri, kind: str | None = "ivf_rq", recall: float = 0.95, scalar: tuple[str, ...] = ()
) -> dict[str, str]:
    """What was done, by column."""
    done = list(indexing.index_table(uri, recall, kind, scalar))  # type: ignore[arg-type]
    return {each.column if isinstance(each, OnValues) else each.record.column: each.done for each in done}


def test_a_table_that_is_searched_fast_gets_no_index_on_its_vectors(uri: TableUri) -> None:
    assert index(uri, None) == {"image_vector": "none", "text_vector": "none", "caption": "built"}
    record = table.read_index_records(table.open_table(uri))["image_vector"]
    assert record.kind is None
    assert record.why.startswith("exact search takes ")


def test_a_table_that_is_searched_slowly_gets_one(uri: TableUri, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.indexing.vectors.FAST_ENOUGH_SECONDS", 0.0)
    assert index(uri, None) == {"image_vector": "built", "text_vector": "built", "caption": "built"}
    record = table.read_index_records(table.open_table(uri))["image_vector"]
    assert (record.kind, record.rows, record.reached) == ("ivf_rq", COUNT, True)


@pytest.mark.parametrize(
    ("of", "kind"),
    [("image", "ivf_rq"), ("text", "ivf_rq"), ("image", "ivf_pq"), ("text", "ivf_flat"), ("text", "ivf_hnsw_sq")],
)
def test_searches_find_what_was_measured(uri: TableUri, kind: str, of: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.indexing.vectors.ROWS_PER_PARTITION", 200)
    index(uri, kind)
    record = table.read_index_records(table.open_table(uri))["image_vector"]
    queries = clustered(100, seed=7)[0 if of == "image" else 1]
    opened = search.open(str(uri))
    for hits in (10, 100):
        truth = found_by(opened, queries, of, k=hits, exact=True)
        found = found_by(opened, queries, of, k=hits)
        assert not record.asked[of][hits].reached or record.asked[of][hits].recall >= 0.95
        assert recall(found, truth) == pytest.approx(record.asked[of][hits].recall, abs=0.05)


def test_a_recall_out_of_reach_is_told(uri: TableUri, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.indexing.measuring.REFINES", (1,))
    index(uri, "ivf_pq", recall=1.0)
    record = table.read_index_records(table.open_table(uri))["image_vector"]
    assert not record.reached
    assert 0 < record.asked["image"][10].recall < 1


def test_indexing_again_adds_only_what_is_new(uri: TableUri) -> None:
    index(uri)
    assert index(uri) == {"image_vector": "kept", "text_vector": "kept", "caption": "kept"}
    images, texts = clustered(50, seed=8)
    add_rows(uri, images, texts, first=COUNT)
    assert index(uri) == {"image_vector": "updated", "text_vector": "updated", "caption": "updated"}
    opened = table.open_table(uri)
    found = table.vector_index(opened, "image_vector")
    assert found is not None
    assert table.rows_without(opened, found) == 0
    assert table.read_index_records(opened)["image_vector"].rows == COUNT + 50
    hits = search.open(str(uri)).by_vector(images[4], k=1)
    assert [hit.uid for hit in hits] == [f"{COUNT + 4:032x}"]


def test_a_table_that_has_doubled_gets_its_index_anew(uri: TableUri) -> None:
    index(uri)
    add_rows(uri, *clustered(COUNT, seed=9), first=COUNT)
    assert index(uri, None) == {"image_vector": "built", "text_vector": "built", "caption": "updated"}
    assert table.read_index_records(table.open_table(uri))["image_vector"].trained_rows == 2 * COUNT


def test_an_index_made_anew_is_of_the_kind_that_was_asked_for(uri: TableUri) -> None:
    index(uri, "ivf_flat")
    add_rows(uri, *clustered(COUNT, seed=9), first=COUNT)
    assert index(uri, None)["image_vector"] == "built"
    record = table.read_index_records(table.open_table(uri))["image_vector"]
    assert (record.kind, record.why) == ("ivf_flat", "asked for with --kind ivf_flat")


def test_rows_that_come_during_a_build_stay(uri: TableUri, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a run of `embed`: its commit lands after the build has read the rows, and before the index is committed."""
    images, texts = clustered(20, seed=10)
    build = lance.LanceDataset.create_index_uncommitted
    calls = []

    def build_slowly(self: lance.LanceDataset, column: str, *args: object, **more: object) -> object:
        segment = build(self, column, *args, **more)
        calls.append(column)
        add_rows(uri, images[len(calls) :][:1], texts[:1], first=COUNT + len(calls))
        return segment

    monkeypatch.setattr(lance.LanceDataset, "create_index_uncommitted", build_slowly)
    index(uri)
    assert calls == ["image_vector", "text_vector"]
    opened = search.open(str(uri))
    for number in (1, 2):
        assert opened.by_vector(images[number], k=1)[0].uid == f"{COUNT + number:032x}"
    assert table.open_table(uri).count() == COUNT + 2


def test_scores_that_are_filled_during_a_build_stay(uri: TableUri, monkeypatch: pytest.MonkeyPatch) -> None:
    images, texts = clustered(20, seed=13)
    add_rows(uri, images, texts, first=COUNT)
    build = lance.LanceDataset.create_index_uncommitted
    scored = []

    def build_slowly(self: lance.LanceDataset, column: str, *args: object, **more: object) -> object:
        segment = build(self, column, *args, **more)
        scored.append(len(list(scoring.score_table(uri))))
        return segment

    monkeypatch.setattr(lance.LanceDataset, "create_index_uncommitted", build_slowly)
    index(uri)
    opened = table.open_table(uri)
    assert len(scored) == 2
    assert opened.count("cosine IS NULL") == 0
    assert [found.rows_without for found in table.list_indexes(opened)] == [0, 0, 0]
    assert search.open(str(uri)).by_vector(images[3], k=1, where="cosine IS NOT NULL")[0].uid == f"{COUNT + 3:032x}"


def test_a_merge_of_fragments_during_a_build_is_put_off(uri: TableUri, monkeypatch: pytest.MonkeyPatch) -> None:
    build = lance.LanceDataset.create_index_uncommitted
    calls = []

    def build_slowly(self: lance.LanceDataset, column: str, *args: object, **more: object) -> object:
        segment = build(self, column, *args, **more)
        calls.append(column)
        opened = table.open_table(uri)
        table.Committer(uri, opened.schema, opened).merge_fragments(run_is_over=True)
        assert table.open_table(uri).fragments == 3
        return segment

    monkeypatch.setattr(lance.LanceDataset, "create_index_uncommitted", build_slowly)
    index(uri)
    assert calls == ["image_vector", "text_vector"]


def test_removed_rows_are_no_hits(uri: TableUri) -> None:
    index(uri)
    opened = search.open(str(uri))
    images = clustered(COUNT)[0]
    first = opened.by_vector(images[5], k=1)[0]
    table.remove_rows(uri, f"uid = '{first.uid}'")
    assert opened.by_vector(images[5], k=1)[0].uid != first.uid
    assert all(hit.uid != first.uid for hit in opened.by_vector(images[5], k=50))


def test_kind_none_drops_the_indexes(uri: TableUri) -> None:
    index(uri)
    assert index(uri, "none")["image_vector"] == "dropped"
    assert table.vector_index(table.open_table(uri), "image_vector") is None
    assert index(uri, "none")["image_vector"] == "none"


def test_an_index_made_with_lancedb_is_kept_and_measured(uri: TableUri) -> None:
    opened = lancedb.connect(uri.database).open_table(uri.name)
    opened.create_index("image_vector", config=IvfFlat(num_partitions=4, distance_type="cosine"))
    assert index(uri, None)["image_vector"] == "kept"
    record = table.read_index_records(table.open_table(uri))["image_vector"]
    assert (record.kind, record.reached) == ("ivf_flat", True)


def test_columns_are_indexed_for_conditions(uri: TableUri) -> None:
    assert index(uri, "none", scalar=("source_row", "source"))["source_row"] == "built"
    kinds = {found.column: found.kind for found in table.value_indexes(table.open_table(uri))}
    assert kinds == {"caption": "full-text", "source_row": "btree", "source": "btree"}
    with pytest.raises(UsageError, match="no column 'nothing'"):
        index(uri, scalar=("nothing",))
    with pytest.raises(UsageError, match=r"'image_vector' of .* cannot be indexed"):
        index(uri, scalar=("image_vector",))


def test_two_runs_do_not_build_at_once(uri: TableUri) -> None:
    with table.at_work(uri, table.BUILDING), pytest.raises(TableError, match="wait until it finishes"):
        index(uri)


def test_optimize_merges_updates_and_keeps_tags(uri: TableUri) -> None:
    index(uri)
    table.open_table(uri).tag("kept")
    images, texts = clustered(3, seed=11)
    for number in range(3):
        add_rows(uri, images[number : number + 1], texts[:1], first=COUNT + number)
    before = table.open_table(uri).fragments
    done = optimize(uri)
    assert (done.fragments_before, done.fragments) == (before, 1)
    assert {each.record.column if isinstance(each, OnVectors) else each.column for each in done.indexes} == {
        *("image_vector", "text_vector", "caption")
    }
    opened = table.open_table(uri)
    assert [index.rows_without for index in table.list_indexes(opened)] == [0, 0, 0]
    assert opened.has_tag("kept")
    assert table.open_table(table.parse(f"{uri}@kept")).count() == COUNT
    assert [hit.uid for hit in search.open(str(uri)).by_vector(images[2], k=1)] == [f"{COUNT + 2:032x}"]


def test_optimize_makes_no_index(tmp_path: Path, uri: TableUri) -> None:
    many = in_fragments(Path(str(uri)), tmp_path / "many", 500)
    done = optimize(many)
    assert (done.fragments_before, done.fragments, done.indexes) == (6, 1, ())


def test_vectors_of_an_odd_width_are_indexed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.indexing.vectors.FAST_ENOUGH_SECONDS", 0.0)
    vectors = np.random.default_rng(0).normal(size=(500, 10))
    path = write_table(tmp_path / "t", vectors, vectors)
    index(table.parse(str(path)), None)
    assert table.read_index_records(table.open_table(table.parse(str(path))))["image_vector"].kind == "ivf_flat"


def test_tables_without_captions_or_rows_are_fine(tmp_path: Path) -> None:
    images, texts = clustered(20)
    path = write_table(tmp_path / "t", images, texts, caption=[None] * 20)
    assert "caption" not in index(table.parse(str(path)))
    assert schema.IMAGE_VECTOR in table.read_index_records(table.open_table(table.parse(str(path))))


@pytest.mark.parametrize("kind", [None, "ivf_rq"])
def test_a_table_in_which_few_rows_have_vectors_is_indexed(tmp_path: Path, kind: str | None) -> None:
    """Of 5,000 rows, as where nearly all were rejected: a random sample of the rows is likely to miss them."""
    count, few = 5_000, [7, 2_500, 4_999]
    images, texts = clustered(count)
    uri = table.parse(str(write_table(tmp_path / "t", images, texts)))
    table.remove_rows(uri, f"key NOT IN ({', '.join(repr(str(row)) for row in few)})")
    done = index(uri, kind)
    assert done["image_vector"] == done["text_vector"] == ("none" if kind is None else "built")
    assert sorted(hit.key for hit in search.open(str(uri)).by_vector(images[0], k=10)) == sorted(map(str, few))
    assert {kind: len(drawn) for kind, drawn in draw(table.open_table(uri)).own.items()} == {"image": 3, "text": 3}


@pytest.mark.parametrize("captioned", [0, 5])
def test_few_captions_do_not_keep_images_from_an_index(tmp_path: Path, captioned: int) -> None:
    """A kind that the vectors of few captions do not allow is built for the images all the same."""
    images, texts = clustered(COUNT)
    vectors = pa.array(
        [*texts[:captioned].astype(np.float16), *[None] * (COUNT - captioned)], pa.list_(pa.float16(), 32)
    )
    captions = [*["words"] * captioned, *[None] * (COUNT - captioned)]
    path = write_table(tmp_path / "t", images, texts, text_vector=vectors, caption=captions)
    uri = table.parse(str(path))
    done = index(uri, "ivf_pq")
    assert done["image_vector"] == "built"
    assert done.get("text_vector") == (None if captioned == 0 else "none")
    opened = search.open(str(uri))
    assert len(opened.by_vector(texts[0], k=10, against="text", distinct=None)) == captioned
    if captioned:
        record = table.read_index_records(table.open_table(uri))["text_vector"]
        assert (record.kind, record.why) == (None, "an ivf_pq index needs at least 256 vectors, and text_vector has 5")
    assert {each.done for each in optimize(uri).indexes if isinstance(each, OnVectors)} == {"kept"}


def test_the_sample_is_of_the_whole_table(uri: TableUri) -> None:
    drawn = draw(table.open_table(uri)).own["image"]
    of_fragments = [sum(row >> 32 == fragment for row in drawn) for fragment in range(3)]
    assert len(drawn) == len(set(drawn)) == QUERIES
    assert min(of_fragments) > QUERIES / 6


@pytest.mark.parametrize(
    ("kind", "count", "dimension", "named"),
    [
        ("ivf_rq", 300, 10, "a multiple of 8, and image_vector has 10; choose another --kind"),
        ("ivf_pq", 255, 16, "at least 256 vectors, and image_vector has 255; choose another --kind"),
    ],
)
def test_a_kind_that_the_vectors_do_not_allow_is_refused(
    tmp_path: Path, kind: str, count: int, dimension: int, named: str
) -> None:
    vectors = np.random.default_rng(0).normal(size=(count, dimension))
    uri = table.parse(str(write_table(tmp_path / "t", vectors, vectors)))
    version = table.open_table(uri).version
    with pytest.raises(UsageError, match=named):
        index(uri, kind)
    assert table.open_table(uri).version == version


@pytest.mark.parametrize("work", ["optimize", "index", "purge", "repair"])
@pytest.mark.parametrize(("kind", "left"), [("ivf_rq", 0), ("ivf_hnsw_sq", 0), ("ivf_pq", 0), ("ivf_pq", 100)])
def test_an_index_that_too_few_rows_are_left_for_is_dropped(tmp_path: Path, kind: str, left: int, work: str) -> None:
    images, texts = clustered(600)
    uri = table.parse(str(write_table(tmp_path / "t", images, texts)))
    index(uri, kind)
    table.remove_rows(uri, f"source_row >= {left // 2}")
    if work == "optimize":
        optimize(uri)
    elif work == "index":
        index(uri, None)
    elif work == "purge":
        table.purge(uri, ())
    else:
        table.update_indexes(uri)
    opened = table.open_table(uri)
    assert table.vector_index(opened, "image_vector") is None
    record = table.read_index_records(opened)["image_vector"]
    assert (record.kind, f"image_vector has {left}" in record.why or "exact search" in record.why) == (None, True)
    if work == "optimize" or left == 0:
        assert f"image_vector has {left}" in record.why
    assert len(search.open(str(uri)).by_vector(images[0], k=600)) == left

"""Searching through an index: candidates of the index, exact cosines, and what an index does not cover."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import lancedb
import pytest
from lancedb.index import IvfPq

from pipeline import schema, search, table
from pipeline.errors import TableError, UsageError
from tests.tables import uids, write_table
from tests.vectors_in_clusters import add_rows, clustered, found_by, recall

COUNT = 3_000


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_table(tmp_path_factory.mktemp("plain") / "t", *clustered(COUNT))


@pytest.fixture(scope="module")
def lancedb_s(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same table with an index by LanceDB's defaults, which are for another distance than ours."""
    path = write_table(tmp_path_factory.mktemp("indexed") / "t", *clustered(COUNT))
    opened = lancedb.connect(path.parent).open_table("t")
    opened.create_index("image_vector", config=IvfPq(num_partitions=8, num_sub_vectors=8))
    return path


def test_an_index_made_with_lancedb_is_used(plain: Path, lancedb_s: Path) -> None:
    queries = clustered(40, seed=1)[0]
    opened, truth = search.open(str(lancedb_s)), found_by(search.open(str(plain)), queries)
    found = found_by(opened, queries)
    assert recall(found, truth) >= 0.95
    assert found_by(opened, queries, exact=True) == truth


def test_a_search_reads_the_files_of_the_index(lancedb_s: Path, tmp_path: Path) -> None:
    shutil.copytree(f"{lancedb_s}.lance", tmp_path / "t.lance", ignore=shutil.ignore_patterns("_indices"))
    opened = search.open(str(tmp_path / "t"))
    query = clustered(1, seed=1)[0][0]
    with pytest.raises(TableError, match="_indices"):
        opened.by_vector(query)
    assert len(opened.by_vector(query, exact=True)) == 10


def test_cosines_of_hits_are_exact_with_an_index(plain: Path, lancedb_s: Path) -> None:
    query = clustered(1, seed=2)[0][0]
    exact = {hit.uid: hit.cosine for hit in search.open(str(plain)).by_vector(query, k=COUNT)}
    for hit in search.open(str(lancedb_s)).by_vector(query, k=20):
        assert hit.cosine == exact[hit.uid]


def test_ties_are_ordered_by_uid_with_an_index(tmp_path: Path) -> None:
    vectors = clustered(COUNT)[0]
    vectors[:12] = vectors[0]
    path = write_table(tmp_path / "t", vectors, vectors)
    table.build_vector_index(table.parse(str(path)), schema.IMAGE_VECTOR, "ivf_rq", 500)
    hits = search.open(str(path)).by_vector(vectors[0], k=12, distinct=None)
    assert [hit.uid for hit in hits] == sorted(uids(COUNT)[:12])


@pytest.mark.parametrize("where", ["source_row < 3", "source_row < 300", "source_row >= 0"])
def test_conditions_leave_as_many_hits_as_there_are(plain: Path, lancedb_s: Path, where: str) -> None:
    queries = clustered(20, seed=3)[0]
    truth = found_by(search.open(str(plain)), queries, where=where)
    found = found_by(search.open(str(lancedb_s)), queries, where=where)
    assert [len(each) for each in found] == [len(each) for each in truth]
    assert recall(found, truth) >= 0.95


def test_deep_pages_are_full(lancedb_s: Path) -> None:
    opened, query = search.open(str(lancedb_s)), clustered(1, seed=4)[0][0]
    assert [len(opened.by_vector(query, offset=offset)) for offset in (0, 80, 500, COUNT - 3)] == [10, 10, 10, 3]


def test_rows_that_came_after_the_index_are_found(tmp_path: Path) -> None:
    images, texts = clustered(COUNT)
    path = write_table(tmp_path / "t", images, texts)
    uri = table.parse(str(path))
    table.build_vector_index(uri, schema.IMAGE_VECTOR, "ivf_rq", 500)
    opened = search.open(str(path))
    fixed = search.open(f"{path}@{table.open_table(uri).version}")
    query = clustered(1, seed=5)[0][0]
    before = found_by(opened, query[None])
    add_rows(path, query[None], texts[:1], first=COUNT)
    (after,) = found_by(opened, query[None])
    assert after == [f"{COUNT:032x}", *before[0][:9]]
    assert found_by(fixed, query[None]) == before


def test_threads_search_while_rows_are_added(tmp_path: Path) -> None:
    images, texts = clustered(600)
    path = write_table(tmp_path / "t", images, texts)
    opened, stop, counts, failures = search.open(str(path)), threading.Event(), list[int](), list[Exception]()

    def search_on() -> None:
        try:
            while not stop.is_set():
                counts.append(len(opened.by_vector(images[0], k=1_000)))
        except Exception as error:  # noqa: BLE001 - reported below
            failures.append(error)

    threads = [threading.Thread(target=search_on) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(5):
        add_rows(path, images[number : number + 1], texts[:1], first=600 + number)
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert set(counts) <= set(range(600, 606))
    assert len(opened.by_vector(images[0], k=1_000)) == 605


@pytest.mark.parametrize("distinct", ["image", None])
def test_many_queries_find_what_each_finds_alone(plain: Path, lancedb_s: Path, distinct: str | None) -> None:
    queries = clustered(30, seed=6)[0]
    for path in (plain, lancedb_s):
        opened = search.open(str(path))
        alone = [[hit.uid for hit in opened.by_vector(query, k=7, distinct=distinct)] for query in queries]  # type: ignore[arg-type]
        assert found_by(opened, queries, k=7, distinct=distinct) == alone


def test_many_queries_with_a_column_that_lance_names_its_own_so(tmp_path: Path) -> None:
    images, texts = clustered(50)
    path = write_table(tmp_path / "t", images, texts, query_index=list(range(50)))
    first, second = search.open(str(path)).many(
        [search.vector(images[3]), search.vector(images[4])], columns=["query_index"]
    )
    assert (first[0].columns["query_index"], second[0].columns["query_index"]) == (3, 4)


def test_hybrid_ranks_by_both_lists(plain: Path) -> None:
    """As its formula says, from the two rankings."""
    uri = table.parse(str(plain))
    if not table.has_text_index(table.open_table(uri), schema.CAPTION):
        table.build_value_index(uri, schema.CAPTION, "full-text")
    opened, query = search.open(str(plain)), clustered(1, seed=12)[0][0]
    near = [hit.uid for hit in opened.by_vector(query, k=100)]
    matching = [uids(COUNT)[row] for row in (7, 77)]
    hits = opened.by_vector(query, k=20, words="7 77", hybrid=True)
    found = [hit.uid for hit in hits]
    assert set(matching) <= set(found[:3])
    assert [uid for uid in found if uid not in matching] == [uid for uid in near if uid not in matching][:18]
    exact = {hit.uid: hit.cosine for hit in opened.by_vector(query, k=COUNT)}
    assert all(hit.cosine == exact[hit.uid] for hit in hits)


def test_words_are_a_condition(plain: Path) -> None:
    uri = table.parse(str(plain))
    if not table.has_text_index(table.open_table(uri), schema.CAPTION):
        table.build_value_index(uri, schema.CAPTION, "full-text")
    opened, query = search.open(str(plain)), clustered(1, seed=12)[0][0]
    assert [hit.caption for hit in opened.by_vector(query, words="CAPTION 77")] == ["caption 77"]
    assert len(opened.by_vector(query, k=50, words="captions")) == 50
    assert opened.by_vector(query, words="caption 77", where="source_row < 3") == []
    for wrong in ("", " ", 3):
        with pytest.raises(UsageError, match="give a str of one word or more"):
            opened.by_vector(query, words=wrong)  # type: ignore[arg-type]

"""What a build of an index leaves that is killed before its commit, and who removes it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from jobs import index, optimize, verify
from pipeline import search, table
from pipeline.table import TableUri
from tests.processes import start_python
from tests.tables import write_table
from tests.vectors_in_clusters import clustered, found_by

COUNT = 600
KILLED_BUILD = """
import os, signal, sys
import lance
from jobs import index
lance.LanceDataset.commit_existing_index_segments = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
index.main(["--table", sys.argv[1], "--kind", "ivf_flat"])
"""


@pytest.fixture
def uri(tmp_path: Path) -> TableUri:
    """A table with an index, and with the files of a build that was killed."""
    path = write_table(tmp_path / "t", *clustered(COUNT))
    assert index.main(["--table", str(path), "--kind", "ivf_rq"]) == 0
    assert len(folders(path)) == 3
    assert start_python(KILLED_BUILD, path).wait(60) == -signal.SIGKILL
    assert len(folders(path)) == 4
    return table.parse(str(path))


def folders(path: Path | TableUri) -> set[str]:
    """Of indexes: each build makes one."""
    return {folder.name for folder in Path(f"{path}.lance", "_indices").iterdir()}


def used(uri: TableUri) -> set[str]:
    return {part.uuid for found in table.open_table(uri).lance.describe_indices() for part in found.segments}


@pytest.mark.parametrize("run", [["verify", "--clean"], ["optimize"], ["index", "--kind", "ivf_rq"]])
def test_files_of_a_killed_build_are_removed(uri: TableUri, run: list[str]) -> None:
    name, *more = run
    main = {"verify": verify.main, "optimize": optimize.main, "index": index.main}[name]
    assert main(["--table", str(uri), *more]) == 0
    assert folders(uri) == used(uri)
    assert table.lost_indexes(table.open_table(uri)) == []
    queries = clustered(20, seed=7)[0]
    opened = search.open(str(uri))
    assert found_by(opened, queries, k=1) == found_by(opened, queries, k=1, exact=True)


def test_verify_counts_them(uri: TableUri) -> None:
    left = {file.path.split("/")[1] for file in table.find_leftovers(uri).files}
    assert left == folders(uri) - used(uri)


def test_files_of_another_program_are_kept_until_they_are_old(tmp_path: Path) -> None:
    """It may be about to commit its index."""
    uri = table.parse(str(write_table(tmp_path / "t", *clustered(COUNT))))
    opened = table.open_table(uri).lance
    numbers = [fragment.fragment_id for fragment in opened.get_fragments()]
    opened.create_index_uncommitted(
        "image_vector", "IVF_FLAT", name="theirs", metric="dot", replace=True, fragment_ids=numbers, num_partitions=2
    )
    theirs = folders(uri)
    assert len(theirs) == 1
    assert optimize.main(["--table", str(uri)]) == 0
    assert folders(uri) == theirs
    two_days_ago = time.time() - 2 * 24 * 3600
    for file in Path(uri.dataset, "_indices").rglob("*.idx"):
        os.utime(file, (two_days_ago, two_days_ago))
    assert optimize.main(["--table", str(uri)]) == 0
    assert folders(uri) == set()


def test_they_stay_while_another_run_is_at_work(uri: TableUri) -> None:
    before = folders(uri)
    with table.at_work(uri, "embed of something"):
        assert optimize.main(["--table", str(uri)]) == 0
        assert before <= folders(uri)
    assert verify.main(["--table", str(uri), "--clean"]) == 0
    assert folders(uri) == used(uri)


def test_an_index_whose_files_are_gone_is_found(tmp_path: Path) -> None:
    """As after a cleanup that ran between a build and its commit."""
    uri = table.parse(str(write_table(tmp_path / "t", *clustered(COUNT))))
    opened = table.open_table(uri).lance
    numbers = [fragment.fragment_id for fragment in opened.get_fragments()]
    made = opened.create_index_uncommitted(
        "image_vector", "IVF_FLAT", name="theirs", metric="dot", replace=True, fragment_ids=numbers, num_partitions=2
    )
    table.remove_leftovers(uri)
    opened.commit_existing_index_segments("theirs", "image_vector", [made])
    assert table.lost_indexes(table.open_table(uri)) == ["theirs"]
    assert verify.main(["--table", str(uri), "--repair"]) == 0
    assert len(search.open(str(uri)).by_vector(clustered(1)[0][0], k=3)) == 3

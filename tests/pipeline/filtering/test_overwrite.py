"""`--overwrite`: the output of an earlier filter gives way to a new one, and never before that one is complete."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import lance
import pyarrow.parquet as pq
import pytest

from pipeline import table
from pipeline.errors import TableError, UsageError
from pipeline.filtering import Manifest, Selection, filter_table, flag, one_cut
from pipeline.table import Table
from tests.processes import ROOT
from tests.tables import cosines_as, write_table


@pytest.fixture
def scored(tmp_path: Path) -> Table:
    return table.open_table(table.parse(str(write_table(tmp_path / "t", *cosines_as([0.1, 0.5, 0.9])))))


def above(least: float) -> Selection:
    return Selection(one_cut("cosine", min=least))


def kept(output: Path) -> tuple[int, int]:
    """How many rows the output has, and its manifest says."""
    return pq.read_table(output).num_rows, Manifest.read(output).kept


def another_version(opened: Table) -> Table:
    lance.dataset(opened.uri.dataset).update_config({"another": "version"})
    return table.open_table(opened.uri)


def tags(opened: Table) -> set[str]:
    return set(lance.dataset(opened.uri.dataset).tags.list())


def test_the_new_output_takes_the_place_of_the_earlier_one_and_its_tag(scored: Table, tmp_path: Path) -> None:
    filter_table(scored, above(-1), tmp_path / "out")
    later = another_version(scored)
    filter_table(later, above(0.7), tmp_path / "out", overwrite=True)
    assert kept(tmp_path / "out") == (1, 1)
    assert tags(later) == {f"filter-{later.version}"}
    assert {path.name for path in tmp_path.iterdir()} == {"t.lance", "out", "out.siglane"}


def test_the_earlier_cut_may_be_used_again(scored: Table, tmp_path: Path) -> None:
    filter_table(scored, above(0.3), tmp_path / "out")
    again = Selection(one_cut("cosine", threshold_from=tmp_path / "out"))
    filter_table(scored, again, tmp_path / "out", overwrite=True)
    assert kept(tmp_path / "out") == (2, 2)
    assert tags(scored) == {f"filter-{scored.version}"}


def test_an_output_of_an_earlier_release_is_replaced(scored: Table, tmp_path: Path) -> None:
    filter_table(scored, above(-1), tmp_path / "out")
    (tmp_path / "out.siglane" / "manifest.json").rename(tmp_path / "out" / "_manifest.json")
    (tmp_path / "out.siglane").rmdir()
    filter_table(scored, above(0.7), tmp_path / "out", overwrite=True)
    assert kept(tmp_path / "out") == (1, 1)
    assert not (tmp_path / "out" / "_manifest.json").exists()


def test_what_is_no_filters_output_is_never_replaced(scored: Table, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="as it is not the output of a filter"):
        filter_table(scored, above(-1), tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "thesis.txt").read_text() == "years of work"


def test_without_the_option_the_earlier_output_stays(scored: Table, tmp_path: Path) -> None:
    filter_table(scored, above(-1), tmp_path / "out")
    with pytest.raises(UsageError, match="out: already exists; give --overwrite to replace"):
        filter_table(scored, above(0.7), tmp_path / "out")
    assert kept(tmp_path / "out") == (3, 3)


def test_with_nothing_to_replace_the_option_changes_nothing(scored: Table, tmp_path: Path) -> None:
    filter_table(scored, above(0.7), tmp_path / "out", overwrite=True)
    assert kept(tmp_path / "out") == (1, 1)


def test_a_filter_that_fails_leaves_the_earlier_output(
    scored: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filter_table(scored, above(-1), tmp_path / "out")

    def fails(*_: object) -> None:
        raise TableError("other writers were quicker")

    monkeypatch.setattr(flag, "write", fails)
    later = another_version(scored)
    with pytest.raises(TableError, match="other writers were quicker"):
        filter_table(later, above(0.7), tmp_path / "out", flag="good", overwrite=True)
    assert kept(tmp_path / "out") == (3, 3)
    assert tags(later) == {f"filter-{scored.version}"}
    assert {path.name for path in tmp_path.iterdir()} == {"t.lance", "out", "out.siglane"}


KILLED = """
import os, signal, sys
from pathlib import Path

from jobs import filter

left = int(sys.argv[1])


def fatal(call):
    def counted(*arguments):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments)

    return counted


Path.rename, Path.replace = fatal(Path.rename), fatal(Path.replace)
filter.main(["--table", "t", "--output", "out", "--min", "0.7", "--overwrite"])
"""


@pytest.mark.parametrize("move", [1, 2, 3, 4])
def test_a_filter_killed_at_any_move_leaves_a_whole_output_for_the_next(
    scored: Table, tmp_path: Path, move: int
) -> None:
    """It moves the earlier output away, and what is beside it; then the new one to its place, the output last."""
    filter_table(scored, above(-1), tmp_path / "out")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    died = subprocess.run([sys.executable, "-c", KILLED, str(move)], cwd=tmp_path, env=environment, check=False)
    assert died.returncode == -signal.SIGKILL
    with pytest.raises(UsageError, match="already exists; give --overwrite"):
        filter_table(scored, above(0.3), tmp_path / "out")
    assert kept(tmp_path / "out") == (3, 3)
    filter_table(scored, above(0.3), tmp_path / "out", overwrite=True)
    assert kept(tmp_path / "out") == (2, 2)
    assert {path.name for path in tmp_path.iterdir()} == {"t.lance", "out", "out.siglane"}

"""A sample that gets lost on its way makes the run fail, with both counts; what is committed stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.embedding import commit_loop, flow, plan
from pipeline.embedding.plan import EmbedOptions
from pipeline.errors import RowsLostError
from pipeline.sample import Sample
from pipeline.sources.formats import folder, parquet
from pipeline.stages import decode
from pipeline.stages.decode import ReadAndDecode
from pipeline.stages.embed import Embed
from pipeline.table import Committer
from tests.embedding import embed
from tests.processes import Siglane
from tests.rows import rows_of
from tests.samples import jpeg, write_parquet, write_photos


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name, count in (("a", 5), ("b", 4)):
        write_parquet(
            tmp_path / "in" / f"{name}.parquet", [jpeg(n) for n in range(count)], [f"{name}{n}" for n in range(count)]
        )
    return tmp_path / "in"


def without_row(read: Callable[..., Iterator[Sample]], path: str, row: int) -> Callable[..., Iterator[Sample]]:
    return lambda *arguments: (s for s in read(*arguments) if (s.source.path, s.row) != (path, row))


def test_a_reader_that_drops_a_sample_of_a_file_that_says_how_many_it_holds(
    data: Path, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "read", without_row(parquet.read, "b.parquet", 2))
    with pytest.raises(RowsLostError, match=r"b\.parquet has 4 samples, but 3 were read"):
        embed(data, tmp_path / "t", model)
    assert len(rows_of(tmp_path / "t")) == 8
    monkeypatch.undo()
    assert embed(data, tmp_path / "t", model).total() == 1
    assert len(rows_of(tmp_path / "t")) == 9


def test_a_reader_that_drops_a_sample_of_one_of_several_parts_of_a_file(
    data: Path, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "BYTES_PER_PART", 1000)
    assert len(plan.plan(options(data, tmp_path, model)).chunks) > 2
    monkeypatch.setattr(parquet, "read", without_row(parquet.read, "a.parquet", 0))
    with pytest.raises(RowsLostError, match=r"a\.parquet has 5 samples, but 4 were read"):
        embed(data, tmp_path / "t", model)


def test_a_reader_that_drops_a_file(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_photos(tmp_path / "in", 3)
    monkeypatch.setattr(folder, "read", without_row(folder.read, "photo0001.jpg", 0))
    with pytest.raises(RowsLostError, match=r"photo0001\.jpg has 1 samples, but 0 were read"):
        embed(tmp_path / "in", tmp_path / "t", model)
    assert len(rows_of(tmp_path / "t")) == 2


def test_what_is_resumed_is_counted_with_what_is_there(
    data: Path, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed(data, tmp_path / "t", model, limit=6)
    assert embed(data, tmp_path / "t", model).total() == 3
    embed(data, tmp_path / "u", model, sample_fraction=0.5)
    there = {row for path, row in rows_of(tmp_path / "u") if path == "a.parquet"}
    assert 0 < len(there) < 5
    monkeypatch.setattr(parquet, "read", without_row(parquet.read, "a.parquet", min(set(range(5)) - there)))
    with pytest.raises(RowsLostError, match=r"a\.parquet has 5 samples, but 4 were read"):
        embed(data, tmp_path / "u", model)


def shortened(call: Callable[..., Any]) -> Callable[..., Any]:
    """Drops the last row of what is given to a method."""
    return lambda self, table, *more: call(self, table[:-1], *more)


@pytest.mark.parametrize(("owner", "method"), [(ReadAndDecode, "_photos"), (Embed, "__call__")])
def test_a_stage_that_drops_a_row(
    owner: type, method: str, data: Path, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "PAIRS_PER_WINDOW", 5)  # a window, and so a batch, for each file
    monkeypatch.setattr(owner, method, shortened(getattr(owner, method)))
    with pytest.raises(RowsLostError, match="9 samples were read, but 7 rows were staged"):
        embed(data, tmp_path / "t", model)


def test_a_committer_that_drops_a_row(data: Path, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = Committer.commit
    monkeypatch.setattr(Committer, "commit", lambda self, staged: commit(self, staged[:-1]))
    with pytest.raises(RowsLostError, match="9 rows were staged, but 5 were committed"):
        embed(data, tmp_path / "t", model, commit_seconds=1000)


def options(data: Path, tmp_path: Path, model: Path) -> EmbedOptions:
    return EmbedOptions(input=(str(data),), table=str(tmp_path / "t"), model=str(model), precision="float32")


def test_rows_that_another_run_has_committed_are_accounted_for(data: Path, tmp_path: Path, model: Path) -> None:
    planned = plan.plan(options(data, tmp_path, model))
    embed(data, tmp_path / "t", model, limit=4)
    run = lambda stages, chunks, in_flight: flow.run_local(stages, chunks, in_flight, "cpu")  # noqa: E731
    landed: list[int] = []
    assert commit_loop.embed(planned, run, lambda outcomes: landed.append(outcomes.total())) == commit_loop.Ended(
        dropped=4
    )
    assert sum(landed) == 5
    assert len(rows_of(tmp_path / "t")) == 9


DROPPING = """
import sys
if "-c" not in sys.orig_argv or "pipeline.stages.child" in sys.orig_argv[-1]:  # not a worker's own start
    from pipeline.sources.formats import parquet
    read = parquet.read
    parquet.read = lambda *arguments: (sample for sample in read(*arguments) if sample.row != 3)
"""


def last_line_of_a_run_that_drops_rows(tmp_path: Path, *command: object) -> str:
    (tmp_path / "before").mkdir()
    (tmp_path / "before" / "sitecustomize.py").write_text(DROPPING)
    process = Siglane(tmp_path, before=tmp_path / "before").start(*command)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 1, err
    return err.strip().splitlines()[-1]


def test_the_command_ends_with_both_numbers(data: Path, tmp_path: Path, model: Path) -> None:
    command = ("embed", "--input", data, "--table", "t", "--model", model, "--local")
    last = last_line_of_a_run_that_drops_rows(tmp_path, *command)
    assert "a.parquet has 5 samples, but 4 were read; 1 more sources, e.g. b.parquet" in last

"""What ends a run before its work is done: too many rejects, its time, and a stall. What is finished is kept."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Generator, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.embedding import commit_loop, flow, plan, reject_rate, time_bounds
from pipeline.embedding.commit_loop import Stop
from pipeline.embedding.flow import Call, Stage, TaskStage
from pipeline.embedding.in_flight import InFlight
from pipeline.embedding.plan import EmbedOptions, EmbedPlan
from pipeline.embedding.time_bounds import Watch
from pipeline.sample import Chunk
from pipeline.stages import decode
from pipeline.table import Staged
from tests.rows import rows_of
from tests.samples import jpeg, write_parquet


class Clock:
    """The time as a watch sees it: it goes on where a test says so."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time_bounds, "time", clock)
    monkeypatch.setattr(time_bounds, "TICK_SECONDS", 0.05)
    return clock


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of four pairs, and a judgement of sixteen rows."""
    monkeypatch.setattr(decode, "PAIRS_PER_WINDOW", 4)
    monkeypatch.setattr(reject_rate, "ROWS", 16)


def planned(tmp_path: Path, model: Path, **more: object) -> EmbedPlan:
    options = {"input": str(tmp_path / "in.parquet"), "table": str(tmp_path / "t"), "model": str(model), **more}
    return plan.plan(EmbedOptions.model_validate(options))


def run(planned: EmbedPlan, bounds: Watch | None = None, last: Call = lambda table: table) -> tuple[Stop | None, int]:
    """Runs the plain loop, what is staged going through `last`; gives (what stopped it, rows it was told of)."""
    outcomes: Counter[tuple[str, str | None]] = Counter()

    def runner(stages: Sequence[Stage], chunks: Sequence[Chunk], in_flight: InFlight) -> Generator[Staged, None, None]:
        here = [TaskStage("read and decode", planned.decode), *stages[1:], TaskStage("last", last)]
        return flow.run_local(here, chunks, in_flight, "cpu")

    return commit_loop.embed(planned, runner, outcomes.update, bounds).stop, outcomes.total()


class Blocking:
    """A stage that lets some tables through; at the next an hour passes, and it waits until somebody interrupts it."""

    def __init__(self, clock: Clock, after: int) -> None:
        self.clock, self.left = clock, after

    def __call__(self, table: pa.Table) -> pa.Table:
        self.left -= 1
        if self.left < 0:
            self.clock.now += 3600
            threading.Event().wait()
        return table


def write(tmp_path: Path, images: Sequence[bytes | None]) -> None:
    write_parquet(tmp_path / "in.parquet", images, [f"caption {index}" for index in range(len(images))])


def test_a_run_in_which_nothing_finishes_any_more_ends_with_what_it_has(
    tmp_path: Path, model: Path, clock: Clock
) -> None:
    write(tmp_path, [jpeg(index) for index in range(20)])
    handler = signal.getsignal(signal.SIGUSR1)
    stop, rows = run(planned(tmp_path, model), Watch(stall_seconds=1800), Blocking(clock, after=2))
    assert stop is not None
    assert (stop.why, rows) == ("stall-timeout", 8)
    assert stop.oldest is not None
    assert stop.oldest["source"] == "in.parquet"
    assert signal.getsignal(signal.SIGUSR1) == handler
    assert sorted(row for _, row in rows_of(tmp_path / "t")) == list(range(8))
    assert run(planned(tmp_path, model), Watch(stall_seconds=1800)) == (None, 12)


def test_a_run_ends_at_its_time_though_it_is_waiting(tmp_path: Path, model: Path, clock: Clock) -> None:
    write(tmp_path, [jpeg(index) for index in range(20)])
    stop, rows = run(planned(tmp_path, model), Watch(max_seconds=1800), Blocking(clock, after=1))
    assert stop is not None
    assert (stop.why, rows) == ("max-hours", 4)
    assert len(rows_of(tmp_path / "t")) == 4


def test_no_run_begins_after_its_time(tmp_path: Path, model: Path) -> None:
    write(tmp_path, [jpeg(0)])
    stop, rows = run(planned(tmp_path, model), Watch(max_seconds=0))
    assert stop is not None
    assert (stop.why, rows) == ("max-hours", 0)


def test_a_wait_for_machines_is_no_stall(tmp_path: Path, model: Path, clock: Clock) -> None:
    write(tmp_path, [jpeg(0)])
    bounds = Watch(stall_seconds=1800)

    def waits(table: pa.Table) -> pa.Table:
        bounds.without_resources()
        clock.now += 3600
        threading.Event().wait(10 * time_bounds.TICK_SECONDS)
        return table

    assert run(planned(tmp_path, model), bounds, waits) == (None, 1)


def test_mostly_rejects_stop_a_run_and_stay_out_of_the_table(tmp_path: Path, model: Path) -> None:
    write(tmp_path, [None] * 40)
    stop, rows = run(planned(tmp_path, model, commit_seconds=0))
    assert stop is not None
    assert (stop.why, rows) == ("max-reject-fraction", 0)
    assert stop.uncommitted == {("rejected", "no-image"): 16}
    assert not (tmp_path / "t.lance" / "_versions").exists()


def test_rejects_after_a_good_beginning_stop_a_run_before_they_are_committed(tmp_path: Path, model: Path) -> None:
    write(tmp_path, [*(jpeg(index) for index in range(24)), *[None] * 40])
    stop, _ = run(planned(tmp_path, model, commit_seconds=0))
    assert stop is not None
    assert (stop.recent["rejected", "no-image"], stop.uncommitted.total()) == (4, 4)
    assert sorted(row for _, row in rows_of(tmp_path / "t")) == list(range(24))
    again, more = run(planned(tmp_path, model, commit_seconds=0, max_reject_fraction=1))
    assert (again, more) == (None, 40)


def test_a_bad_beginning_that_gets_better_is_committed_whole(tmp_path: Path, model: Path) -> None:
    write(tmp_path, [None, None, *(jpeg(index) for index in range(30))])
    assert run(planned(tmp_path, model, commit_seconds=0)) == (None, 32)
    assert len(rows_of(tmp_path / "t")) == 32


def test_few_rows_are_judged_when_all_are_done(tmp_path: Path, model: Path) -> None:
    write(tmp_path, [None] * 12)
    assert run(planned(tmp_path, model, commit_seconds=0)) == (None, 12)


def test_a_window_is_bounded_by_its_captions_too(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "PAIRS_PER_WINDOW", 100)
    monkeypatch.setattr(decode, "BYTES_PER_WINDOW", 10_000)
    write_parquet(tmp_path / "in.parquet", [jpeg(0)] * 9, ["x" * 4000] * 9)
    stage = planned(tmp_path, model)
    (chunk,) = stage.chunks
    windows = [photos.num_rows for photos in stage.decode(decode.chunk_table([chunk]))]
    assert len(windows) > 3

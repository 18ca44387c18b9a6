"""What a run of `embed` tells of its progress: how many rows it expects, and what holds it up."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipeline.embedding import commit_loop, flow, measures, plan
from pipeline.embedding.expected_rows import ExpectedRows
from pipeline.embedding.flow import Stage, TaskStage
from pipeline.embedding.in_flight import InFlight
from pipeline.embedding.measures import Measures
from pipeline.embedding.plan import EmbedOptions, EmbedPlan
from pipeline.embedding.reports import EMBED, READ, WRITE, Encoder, Meter, Worked
from pipeline.progress import Progress, View, current
from pipeline.sample import Chunk, Source
from pipeline.stages.decode import chunk_table
from pipeline.table import Staged
from tests.embedding import embed
from tests.samples import jpeg, write_parquet, write_photos, write_tar


def source(path: str, size: int, samples: int | None = None) -> Source:
    return Source(path, path, "1", size, samples=samples)


def test_sources_that_say_nothing_yet_are_estimated_by_their_bytes() -> None:
    expected = ExpectedRows([Chunk((source("a", 100),)), Chunk((source("b", 200), source("c", 50)))])
    assert (expected.total, expected.is_exact) == (None, False)
    expected.stated({"a": 10})
    assert (expected.total, expected.is_exact) == (35, False)
    expected.stated({"a": 10, "b": 80})
    assert (expected.total, expected.is_exact) == (105, False)
    expected.stated({"c": 1})
    assert (expected.total, expected.is_exact) == (91, True)


def test_parts_of_a_source_count_once() -> None:
    expected = ExpectedRows([Chunk((source("a", 100),), part, 3) for part in range(3)])
    expected.stated({"a": 30})
    assert (expected.total, expected.is_exact) == (30, True)


def test_rows_in_the_table_are_not_expected() -> None:
    expected = ExpectedRows([Chunk((source("a", 100, 10), source("b", 100, 5)), done={"a": ((0, 4), (6, 7))})])
    assert (expected.total, expected.is_exact) == (10, True)


def test_a_part_of_the_input_is_expected_in_part() -> None:
    sampled = ExpectedRows([Chunk((source("a", 100, 1000),), fraction=0.25)])
    assert (sampled.total, sampled.is_exact) == (250, False)
    limited = ExpectedRows([Chunk((source("a", 100),), limit=7), Chunk((source("b", 100),), limit=2)])
    assert (limited.total, limited.is_exact) == (9, True)


def test_an_empty_source_gives_no_estimate() -> None:
    expected = ExpectedRows([Chunk((source("a", 0, 0), source("b", 10)))])
    assert expected.total is None


def planned(tmp_path: Path, model: Path, **more: object) -> EmbedPlan:
    options = {"input": str(tmp_path / "in"), "table": str(tmp_path / "t"), "model": str(model), **more}
    return plan.plan(EmbedOptions.model_validate(options))


def looks(of: EmbedPlan) -> list[View]:
    """The progress of a run by the plain loop, each time that rows have been staged, and at its end."""
    seen = list[View]()

    def run(stages: Sequence[Stage], chunks: Sequence[Chunk], in_flight: InFlight) -> Generator[Staged, None, None]:
        stages = [TaskStage(READ, of.decode), *stages[1:]]
        for staged in flow.run_local(stages, chunks, in_flight, "cpu"):
            yield staged
            seen.append(current.look())

    commit_loop.embed(of, run, lambda _landed: None)
    return seen


def test_rows_and_rejects_are_told_before_they_are_committed(tmp_path: Path, model: Path) -> None:
    for file in range(2):
        write_parquet(tmp_path / "in" / f"{file}.parquet", [jpeg(1), b"x", b"y"], ["a", "b", "c"])
    first, second = looks(planned(tmp_path, model, commit_seconds=1000))
    assert (first.rows, first.rejected, first.details.total, first.details.total_is_exact) == (3, 2, 6, False)
    assert (second.rows, second.rejected, second.details.total, second.details.total_is_exact) == (6, 4, 6, True)


@pytest.mark.parametrize("form", ["photos", "json", "parquet", "tar", "csv"])
def test_when_all_is_read_the_number_of_rows_is_exact(form: str, tmp_path: Path, model: Path) -> None:
    folder, rows = tmp_path / "in", 5
    if form == "photos":
        write_photos(folder, rows)
    elif form == "json":
        write_photos(folder, 2)
        (folder / "photo0000.txt").rename(folder / "photo0000.json")
        (folder / "photo0000.json").write_text('{"caption": ["a", "b", "c", "d"]}')
    elif form == "parquet":
        write_parquet(folder / "a.parquet", [jpeg(n) for n in range(rows)], ["a"] * rows)
    elif form == "tar":
        write_tar(folder / "a.tar", [(f"{n}{kind}", jpeg(n)) for n in range(rows) for kind in (".jpg", ".txt")])
    else:
        write_photos(tmp_path / "photos", rows)
        lines = [f"{tmp_path}/photos/photo{n:04d}.jpg,a" for n in range(rows)]
        folder.mkdir()
        (folder / "a.csv").write_text("\n".join(["url,caption", *lines, ""]))
    more = {"allow_uri": [str(tmp_path)]} if form == "csv" else {}
    last = looks(planned(tmp_path, model, **more))[-1]
    assert (last.rows, last.details.total, last.details.total_is_exact) == (rows, rows, True)


def test_a_run_that_goes_on_expects_the_rest(tmp_path: Path, model: Path) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", [jpeg(n) for n in range(9)], ["a"] * 9)
    embed(tmp_path / "in", tmp_path / "t", model, limit=4)
    last = looks(planned(tmp_path, model))[-1]
    assert (last.rows, last.details.total, last.share) == (5, 5, 1)


@pytest.fixture
def told(tmp_path: Path, model: Path) -> tuple[Measures, Progress]:
    write_photos(tmp_path / "in", 4)
    progress = Progress()
    found = Measures(planned(tmp_path, model), progress)
    progress.begin("embedding", details=lambda: found.details({"source": "photo0000.jpg"}))
    return found, progress


def test_what_happens_before_the_first_rows_is_told(told: tuple[Measures, Progress]) -> None:
    found, progress = told
    doing = lambda: progress.look().details.doing  # noqa: E731
    assert doing() == "waiting for an encoder to start"
    found.hear(Encoder("loading"))
    assert doing() == "loading the model"
    found.hear(Worked(READ, 3, 1, 1))
    assert doing() == "loading the model; 3 samples decoded"
    found.hear(Encoder("ready"))
    found.hear(Encoder("loading"))  # another one
    assert doing() == "3 samples decoded, none embedded yet"


def test_rows_that_an_encoder_reports_count_once(told: tuple[Measures, Progress]) -> None:
    found, progress = told
    for report, rows in ((3, 3), (4, 7)):
        found.hear(Worked(EMBED, report, 1, 1))
        assert progress.look().rows == rows
    for staged, rows in ((5, 7), (4, 9)):  # the last report comes late
        found.staged(staged, 1)
        assert progress.look().rows == rows
    found.hear(Worked(EMBED, 2, 1, 1))
    assert (progress.look().rows, progress.look().rejected) == (9, 2)


@pytest.mark.parametrize(
    ("reports", "bottleneck"),
    [
        ([], None),
        ([Worked(READ, 1, 90, 90)], None),
        ([Worked(EMBED, 1, 9, 10), Worked(READ, 1, 90, 90)], "encoders"),
        ([Worked(EMBED, 1, 9, 10), Worked(EMBED, 1, 0, 10), Worked(READ, 1, 9, 9)], "input"),
        ([Worked(EMBED, 1, 2, 10), Worked(READ, 1, 9, 9), Worked(WRITE, 1, 5, 5)], "input"),
        ([Worked(EMBED, 1, 2, 10), Worked(READ, 1, 9, 9), Worked(WRITE, 1, 10, 10)], "writing"),
    ],
)
def test_the_bottleneck_is_what_takes_most_of_the_time(
    reports: list[Worked], bottleneck: str | None, told: tuple[Measures, Progress]
) -> None:
    found, progress = told
    for report in reports:
        found.hear(report)
    assert progress.look().details.bottleneck == bottleneck


class Clock:
    def __init__(self) -> None:
        self.now = time.monotonic()

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, told: tuple[Measures, Progress]) -> Clock:
    """The clock of the measures, which stands still by itself."""
    clock = Clock()
    monkeypatch.setattr(measures, "time", clock)
    return clock


def test_commits_that_take_most_of_the_time_are_the_bottleneck(told: tuple[Measures, Progress], clock: Clock) -> None:
    found, shown = told
    for _ in range(3):
        clock.now += 1
        with found.committing():
            clock.now += 4
    found.hear(Worked(EMBED, 1, 3, 15))
    assert shown.look().details.bottleneck == "commits"
    for _ in range(3):
        clock.now += 9
        with found.committing():
            clock.now += 1
    assert shown.look().details.bottleneck == "input"


def test_a_run_tells_how_many_workers_were_at_each_part(told: tuple[Measures, Progress], clock: Clock) -> None:
    found, shown = told
    assert found.work() is None
    clock.now += 10
    found.hear(Worked(READ, 100, 10, 10, {"source": 4.0, "decode": 16.0}))
    found.hear(Worked(EMBED, 100, 9, 10))
    found.hear(Worked(WRITE, 100, 1, 5))
    work = found.work()
    assert work is not None
    assert work.at_work == {"source": 0.4, "decode": 1.6, "encoders": 0.9, "writing": 0.1, "commits": 0.0}
    assert (work.encoders_busy, work.bottleneck) == (0.9, "encoders")
    assert shown.look().details.at_work == work.at_work
    assert shown.look().as_record()["at_work"] == work.at_work


@pytest.mark.parametrize(("stage", "least"), [(WRITE, 0.4), (EMBED, 0.2)])
def test_writes_at_once_all_count_and_batches_at_once_on_one_device_count_once(stage: str, least: float) -> None:
    together, reports = threading.Barrier(2), list[Any]()
    meter = Meter(stage, reports.append)

    def work() -> None:
        together.wait(60)
        time.sleep(0.2)
        together.wait(60)

    began = time.monotonic()
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(meter.call, [work] * 2))
    passed = time.monotonic() - began
    meter.report()
    assert least <= reports[-1].busy <= (2 * passed if stage == WRITE else passed)


def test_the_child_tells_what_reading_and_decoding_took(tmp_path: Path, model: Path) -> None:
    write_parquet(tmp_path / "in.parquet", [jpeg(row, (800, 600)) for row in range(40)], ["a"] * 40)
    options = EmbedOptions(input=(str(tmp_path / "in.parquet"),), table=str(tmp_path / "t"), model=str(model))
    reports: list[object] = []
    stages = flow.watched(flow.embed_stages(plan.plan(options))[:1], reports.append)
    (stage,) = stages
    assert isinstance(stage, TaskStage)
    for chunk in plan.plan(options).chunks:
        list(stage.call(chunk_table([chunk])))
    parts = [report.parts for report in reports if isinstance(report, Worked)]
    total = {name: sum(part.get(name, 0.0) for part in parts) for name in ("source", "decode")}
    assert total["decode"] > total["source"] > 0

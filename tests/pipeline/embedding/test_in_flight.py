"""Which chunk has been in flight for longest, as the driver knows it."""

from __future__ import annotations

import socket
from pathlib import Path

from pipeline.embedding import flow, plan
from pipeline.embedding.flow import TaskStage
from pipeline.embedding.in_flight import Begun, Ended, InFlight
from pipeline.embedding.plan import EmbedOptions
from tests.samples import jpeg, write_parquet


def begun(path: str, minute: int) -> Begun:
    return Begun((path, 0), path, "a-node", f"2026-01-01T00:{minute:02d}:00+00:00")


def ended(path: str, rows: int) -> Ended:
    return Ended((path, 0), rows, rows, {})


def oldest(in_flight: InFlight) -> str | None:
    found = in_flight.oldest()
    return None if found is None else found["source"]


def test_a_chunk_is_in_flight_until_its_rows_are_staged() -> None:
    chunks = InFlight()
    assert chunks.oldest() is None
    chunks.hear(begun("b", 2))
    chunks.hear(begun("a", 1))
    assert chunks.oldest() == {"source": "a", "node": "a-node", "since": "2026-01-01T00:01:00+00:00"}
    chunks.hear(ended("a", 10))
    chunks.staged(9)
    assert oldest(chunks) == "a"
    chunks.staged(1)
    assert oldest(chunks) == "b"
    chunks.hear(ended("b", 0))
    assert chunks.oldest() is None


def test_a_chunk_that_is_read_again_counts_once() -> None:
    chunks = InFlight()
    chunks.hear(begun("a", 1))
    chunks.hear(ended("a", 10))
    chunks.hear(begun("a", 3))  # its worker's node was lost
    chunks.hear(begun("b", 2))
    assert oldest(chunks) == "b"
    chunks.hear(ended("a", 10))
    chunks.hear(ended("b", 5))
    chunks.staged(15)
    assert chunks.oldest() is None


def test_rows_staged_before_the_end_is_told_of_count() -> None:
    chunks = InFlight()
    chunks.hear(begun("a", 1))
    chunks.staged(10)
    assert oldest(chunks) == "a"
    chunks.hear(ended("a", 10))
    assert chunks.oldest() is None


def test_where_nothing_is_heard_any_more_nothing_is_said() -> None:
    chunks = InFlight()
    chunks.hear(begun("a", 1))
    chunks.hear_no_more()
    assert chunks.oldest() is None


def test_the_plain_loop_tells_of_every_chunk(tmp_path: Path, model: Path) -> None:
    for file in range(3):
        write_parquet(tmp_path / "in" / f"{file}.parquet", [jpeg(1), b"x"], ["a", "b"])
    options = EmbedOptions(input=(str(tmp_path / "in"),), table=str(tmp_path / "t"), model=str(model))
    planned = plan.plan(options)
    chunks, seen = InFlight(), []
    stages = [TaskStage("read and decode", planned.decode), *flow.embed_stages(planned)[1:]]
    for staged in flow.run_local(stages, planned.chunks, chunks, "cpu"):
        found = chunks.oldest()
        assert found is not None
        seen.append((found["source"], found["node"]))
        chunks.staged(sum(staged.outcomes.values()))
    assert seen == [(f"{file}.parquet", socket.gethostname()) for file in range(3)]
    assert chunks.oldest() is None

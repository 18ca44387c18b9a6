"""The plain loop reads while the model is loaded, and while it embeds."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.embedding import flow, plan
from pipeline.embedding.flow import Call, ModelStage, TaskStage
from pipeline.embedding.in_flight import InFlight
from pipeline.embedding.plan import EmbedOptions
from pipeline.embedding.reports import READ
from pipeline.stages import decode
from tests.samples import jpeg, write_parquet

SECONDS = 60


def rows_staged(tmp_path: Path, model: Path, ahead: bool, wrap: Any) -> int:
    """Embeds five photos in windows of one by stages that `wrap` gives for the model's."""
    write_parquet(tmp_path / "in.parquet", [jpeg(n) for n in range(5)], list("abcde"))
    planned = plan.plan(EmbedOptions(input=str(tmp_path / "in.parquet"), table=str(tmp_path / "t"), model=str(model)))
    _, embed, write = flow.embed_stages(planned)
    assert isinstance(embed, ModelStage)
    read = TaskStage(READ, planned.decode, (lambda: None) if ahead else None)
    staged = flow.run_local([read, replace(embed, load=wrap(embed.load)), write], planned.chunks, InFlight(), "cpu")
    return sum(each.rows for each in staged)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[threading.Event]:
    """Set when the first, the second, … image has been decoded."""
    events, whole = [threading.Event() for _ in range(5)], decode.decode
    left = iter(events)

    def noted(*arguments: Any, **more: Any) -> Any:
        image = whole(*arguments, **more)
        next(left).set()
        return image

    monkeypatch.setattr(decode, "decode", noted)
    monkeypatch.setattr(decode, "PAIRS_PER_WINDOW", 1)
    return events


def test_the_first_window_is_read_while_the_model_is_loaded(
    tmp_path: Path, model: Path, decoded: list[threading.Event]
) -> None:
    def slow(load: Any) -> Any:
        def loaded(settings: Any, device: str) -> Call:
            assert decoded[0].wait(SECONDS)
            return load(settings, device)  # type: ignore[no-any-return]

        return loaded

    assert rows_staged(tmp_path, model, False, slow) == 5


def test_the_next_window_is_read_while_one_is_embedded(
    tmp_path: Path, model: Path, decoded: list[threading.Event]
) -> None:
    def slow(load: Any) -> Any:
        def loaded(settings: Any, device: str) -> Call:
            call, coming = load(settings, device), iter(decoded[1:])

            def embed(photos: pa.Table) -> pa.Table:
                event = next(coming, None)
                assert event is None or event.wait(SECONDS)
                return call(photos)

            return embed

        return loaded

    assert rows_staged(tmp_path, model, True, slow) == 5

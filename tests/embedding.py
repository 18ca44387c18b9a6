"""The main job in this process, by the plain loop: decoding too, so that a test can look into it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from pathlib import Path

from pipeline.embedding import commit_loop, flow, plan
from pipeline.embedding.flow import Stage, TaskStage
from pipeline.embedding.in_flight import InFlight
from pipeline.embedding.plan import EmbedOptions
from pipeline.sample import Chunk
from pipeline.table import Staged
from tests.rows import outcomes_of


def embed(
    folder: Path | str | list[str], table: Path | str, model: Path, **more: object
) -> Counter[tuple[str, str | None]]:
    """Embeds in the plain loop; gives the rows committed, by (status, reason), which are those that have come in.

    In float32 on every machine, unless another precision is given.
    """
    outcomes: Counter[tuple[str, str | None]] = Counter()
    inputs = folder if isinstance(folder, list) else str(folder)
    options = EmbedOptions.model_validate(
        {"input": inputs, "table": str(table), "model": str(model), "precision": "float32", **more}
    )
    planned = plan.plan(options)

    def run(stages: Sequence[Stage], chunks: Sequence[Chunk], in_flight: InFlight) -> Generator[Staged, None, None]:
        return flow.run_local([TaskStage("read and decode", planned.decode), *stages[1:]], chunks, in_flight, "cpu")

    before = None if "://" in str(table) else outcomes_of(table)
    commit_loop.embed(planned, run, outcomes.update)
    if before is not None and not planned.replacing:
        assert before + outcomes == outcomes_of(table), "other rows are in the table than the run has counted"
    return outcomes

"""The main job in this process, by the plain loop."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from pipeline import flow, plan
from pipeline.plan import EmbedOptions


def embed(
    folder: Path | str | list[str], table: Path | str, model: Path, **more: object
) -> Counter[tuple[str, str | None]]:
    """Embeds in the plain loop; gives the rows committed, by (status, reason)."""
    outcomes: Counter[tuple[str, str | None]] = Counter()
    inputs = folder if isinstance(folder, list) else str(folder)
    options = EmbedOptions.model_validate({"input": inputs, "table": str(table), "model": str(model), **more})
    flow.embed(plan.plan(options), lambda stages, chunks: flow.run_local(stages, chunks, "cpu"), outcomes.update)
    return outcomes

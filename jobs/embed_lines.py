"""What `siglane embed` says about the work of a run: how busy its parts were, what held it up, and what would help."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pipeline.bottleneck import Work


def work_fields(found: Work | None) -> dict[str, Any]:
    """The fields of the summary; null where the run was too short to tell."""
    if found is None:
        return {"at_work": None, "encoders_busy": None, "bottleneck": None}
    return asdict(found)


def work(found: Work | None) -> str:
    """Lines of the text; empty where the run was too short to tell."""
    return "" if found is None else f"\n{held_up(found)}\n{at_work(found)}"


def held_up(found: Work) -> str:
    return f"held up by its {found.bottleneck}: {found.helps}"


def at_work(found: Work) -> str:
    parts = ", ".join(f"{part} {workers:.2f}" for part, workers in found.at_work.items())
    return f"workers at work on average: {parts}; encoders busy {found.encoders_busy:.0%}"

"""What `siglane embed` says about the work of a run: how busy its parts were, what held it up, and what would help."""

from __future__ import annotations

from typing import Any

from pipeline.embedding.measures import DECODE, SOURCE, Work
from pipeline.progress import Bottleneck

HELPS: dict[Bottleneck, str] = {
    "encoders": "more or faster CPUs or GPUs would help",
    "input": "more CPUs would help, or a faster store",
    "writing": "a faster store for the table would help",
    "commits": "a larger --commit-seconds would help, or a faster store for the table",
}
DECODING_HELPS = "decoding takes most of it: more CPUs would help, or --preprocessing fast"


def work_fields(found: Work | None) -> dict[str, Any]:
    """The fields of the summary; null where the run was too short to tell."""
    if found is None:
        return {"at_work": None, "encoders_busy": None, "bottleneck": None}
    return {
        "at_work": {part: round(workers, 3) for part, workers in found.at_work.items()},
        "encoders_busy": round(found.encoders_busy, 3),
        "bottleneck": found.bottleneck,
    }


def work(found: Work | None) -> str:
    """A line of the text; empty where the run was too short to tell."""
    if found is None:
        return ""
    parts = ", ".join(f"{part} {workers:.2f}" for part, workers in found.at_work.items())
    decodes = found.bottleneck == "input" and found.at_work[DECODE] > found.at_work[SOURCE]
    helps = DECODING_HELPS if decodes else HELPS[found.bottleneck]
    return (
        f"\nheld up by its {found.bottleneck}: {helps}\nworkers at work on average: {parts}; encoders busy "
        f"{found.encoders_busy:.0%}"
    )

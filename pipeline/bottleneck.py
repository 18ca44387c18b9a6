"""What a run was busy with, what held it up, and what would help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Bottleneck = Literal["encoders", "input", "writing", "commits"]

SOURCE, DECODE, ENCODERS, WRITING, COMMITS = "source", "decode", "encoders", "writing", "commits"
PARTS = (SOURCE, DECODE, ENCODERS, WRITING, COMMITS)
"""the parts of the work, in its order: reading samples, decoding and resizing images, the towers, fragments, commits"""

_HELPS: dict[Bottleneck, str] = {
    "encoders": "more or faster CPUs or GPUs would help",
    "input": "reading takes most of it: a faster store would help, or more CPUs if the store can serve more readers",
    "writing": "a faster store for the table would help",
    "commits": "a larger --commit-seconds would help, or a faster store for the table",
}
_DECODING_HELPS = "decoding takes most of it: more CPUs would help, or --preprocessing fast"


@dataclass(frozen=True)
class Work:
    """What a run was busy with."""

    at_work: Mapping[str, float]
    """by part: how many workers were at it on average"""
    encoders_busy: float
    """share of their time in which the encoders worked, 0 to 1"""
    bottleneck: Bottleneck
    """what the rest waited for"""

    @property
    def helps(self) -> str:
        """What would make such a run faster, as a sentence without its end."""
        decodes = self.bottleneck == "input" and self.at_work.get(DECODE, 0.0) > self.at_work.get(SOURCE, 0.0)
        return _DECODING_HELPS if decodes else _HELPS[self.bottleneck]

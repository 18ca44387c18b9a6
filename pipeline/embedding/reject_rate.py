"""Judging a run by its last rows: where most of them are rejects, it is stopped before they are in the table."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping

from pipeline import schema

ROWS = 10_000

Outcomes = Counter[tuple[str, str | None]]
"""rows by (status, reason)"""


class RecentRows:
    """The outcomes of a run's last rows: `ROWS` of them, and what came with the first of these."""

    def __init__(self, max_reject_fraction: float) -> None:
        self._max_reject_fraction = max_reject_fraction
        self._parts: deque[Outcomes] = deque()
        self.outcomes: Outcomes = Counter()

    def add(self, outcomes: Mapping[tuple[str, str | None], int]) -> None:
        self._parts.append(Counter(outcomes))
        self.outcomes.update(outcomes)
        while self.outcomes.total() - self._parts[0].total() >= ROWS:
            self.outcomes.subtract(self._parts.popleft())

    @property
    def look_bad(self) -> bool:
        """Whether more of them are rejects than may be, however few they are yet."""
        return rejected(self.outcomes) > self._max_reject_fraction * self.outcomes.total()

    @property
    def are_too_bad(self) -> bool:
        """Whether they look bad and are enough to say so."""
        return self.look_bad and self.outcomes.total() >= ROWS


def rejected(outcomes: Outcomes) -> int:
    return sum(rows for (status, _), rows in outcomes.items() if status == schema.REJECTED)

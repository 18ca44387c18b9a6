"""Measures the reject rate over a run's last rows, so that a run with too many rejects stops before it commits them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping

from pipeline import schema

ROWS = 10_000

Outcomes = Counter[tuple[str, str | None]]
"""rows by (status, reason)"""


class RecentRows:
    """The outcomes of a run's last rows: at least the last `ROWS`, as rows are added and dropped in groups."""

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
        """Whether the share of rejects is above the limit, even if there are only few rows yet."""
        return rejected(self.outcomes) > self._max_reject_fraction * self.outcomes.total()

    @property
    def are_too_bad(self) -> bool:
        """Whether the share of rejects is above the limit and there are enough rows to judge."""
        return self.look_bad and self.outcomes.total() >= ROWS


def rejected(outcomes: Outcomes) -> int:
    return sum(rows for (status, _), rows in outcomes.items() if status == schema.REJECTED)

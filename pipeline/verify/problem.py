"""The result of a check: a problem with the check's name, examples, and a fix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

EXAMPLES = 5

EMBED_AGAIN = "--repair deletes these rows; then run the command that made the table, which embeds them again"


@dataclass(frozen=True)
class Repaired:
    """What a repair did."""

    how: str
    to_embed: int = 0
    """rows that the repair deleted and that must be embedded again"""


@dataclass(frozen=True)
class Problem:
    """A fault of a table."""

    check: str
    count: int
    """of what the check counts: rows, sources, fragments or indexes"""
    examples: tuple[str, ...]
    """at most `EXAMPLES`"""
    fix: str
    """what to do about it; the key `mend` in JSON"""
    repair: Callable[[], Repaired] | None = None
    """repairs it in one commit; None if only the user can fix it"""

    def as_dict(self) -> dict[str, Any]:
        return {"check": self.check, "count": self.count, "examples": list(self.examples), "mend": self.fix}

    def __str__(self) -> str:
        examples = f" ({', '.join(self.examples)})" if self.examples else ""
        return f"{self.check}: {self.count}{examples}; {self.fix}"

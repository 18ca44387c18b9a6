"""What a check finds: a problem with a name, examples, and its mend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

EXAMPLES = 5

EMBED_AGAIN = "--repair deletes these rows; the embed command that made the table then embeds them again"


@dataclass(frozen=True)
class Repaired:
    """What a repair did."""

    how: str
    to_embed: int = 0
    """rows that the table has lost by it, until the embed command is run again"""


@dataclass(frozen=True)
class Problem:
    """Something in a table that is not as it should be."""

    check: str
    count: int
    """of what the check counts: rows, sources, fragments, indexes"""
    examples: tuple[str, ...]
    """at most `EXAMPLES`"""
    mend: str
    """what to do about it"""
    repair: Callable[[], Repaired] | None = None
    """does that, in one commit; None where a user has to"""

    def as_dict(self) -> dict[str, Any]:
        return {"check": self.check, "count": self.count, "examples": list(self.examples), "mend": self.mend}

    def __str__(self) -> str:
        examples = f" ({', '.join(self.examples)})" if self.examples else ""
        return f"{self.check}: {self.count}{examples}; {self.mend}"

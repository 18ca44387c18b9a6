"""Counts in messages: `1 row`, `12 rows`."""

from __future__ import annotations


def noun(number: int, one: str, many: str | None = None) -> str:
    """The word for so many things, or the words. `many`: where it is not `one` with an s."""
    return one if number == 1 else many or f"{one}s"


def counted(number: int, one: str, many: str | None = None) -> str:
    """The number and its noun."""
    return f"{number} {noun(number, one, many)}"

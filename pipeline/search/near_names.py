"""What to offer instead of the name of a column that does not exist."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches


def near_names(name: str, known: Sequence[str]) -> Sequence[str]:
    """The known names that hold this one, else those that are spelled alike, else all of them."""
    holding = [other for other in known if name and name.lower() in other.lower()]
    return holding or get_close_matches(name, known, n=3) or known

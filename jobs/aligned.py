"""Text in aligned columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

WIDEST = 60
"""characters of a column, except the last; a longer text moves the rest of its line"""


def aligned(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines, whose cells are padded so that those of one column begin below each other."""
    widths = [min(WIDEST, max(map(len, column))) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = [cell.ljust(width) for cell, width in zip(line[:-1], widths, strict=False)]
        yield "  ".join([*padded, line[-1]]).rstrip()

"""Chunks know what is left of them, and samples of rows are the same for everybody."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.sample import MOST_SHOWN, Chunk, Source, is_sampled, shown

SOURCE = Source("a.tar", "file:///in/a.tar", "1", 1)


def test_rows_that_came_are_done_in_whatever_pieces_they_came() -> None:
    chunk = Chunk((SOURCE,), done={"a.tar": ((4, 6),)}, limit=9)
    chunk = chunk.without([("a.tar", row) for row in (7, 0, 6)]).without([("a.tar", 3), ("b.tar", 0)])
    assert [row for row in range(9) if not chunk.is_done("a.tar", row)] == [1, 2, 8]
    assert chunk.is_done("a.tar", 3, 8), "the pieces are one range"
    assert not chunk.is_done("a.tar", 3, 9)
    assert (chunk.is_done("b.tar", 0), chunk.is_done("b.tar", 1)) == (True, False)
    assert chunk.limit == 4


def test_of_a_sample_what_is_left_out_counts_as_done() -> None:
    chunk = Chunk((SOURCE,), fraction=0.5)
    left = [row for row in range(100) if not chunk.is_done("a.tar", row)]
    assert left == [row for row in range(100) if is_sampled("a.tar", row, 0.5)]
    assert not chunk.is_done("a.tar", 0, 100)
    assert replace(chunk, done={"a.tar": tuple((row, row + 1) for row in left)}).is_done("a.tar", 0, 100)


@pytest.mark.parametrize("fraction", [0.01, 0.3, 1.0])
def test_a_sample_is_that_share_of_the_rows_and_part_of_every_larger_one(fraction: float) -> None:
    rows = {row for row in range(20_000) if is_sampled("b.tar", row, fraction)}
    assert abs(len(rows) / 20_000 - fraction) < 4 * np.sqrt(fraction * (1 - fraction) / 20_000) + 1e-9
    assert rows <= {row for row in range(20_000) if is_sampled("b.tar", row, min(1.0, fraction * 1.5))}


def test_which_rows_a_sample_has_is_pinned() -> None:
    """Another siglane must choose the same, or a larger sample would not go on from a smaller one."""
    assert [row for row in range(20) if is_sampled("a.tar", row, 0.3)] == [
        *(3, 5, 10, 13, 15, 16, 19),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x.jpg row 3: größer als 猫 🐈", "x.jpg row 3: größer als 猫 🐈"),
        ("a\tb\r\nc\x00\x1b[2J\x85", "a\\tb\\r\\nc\\x00\\x1b[2J\\x85"),
        ("\u202efdp.exe \ud800", "\\u202efdp.exe \\ud800"),
        ("x" * MOST_SHOWN, "x" * MOST_SHOWN),
        ("x" * (MOST_SHOWN + 1), "x" * (MOST_SHOWN - 1) + "…"),
    ],
)
def test_a_text_is_shown_on_one_line_without_what_a_terminal_obeys(text: str, expected: str) -> None:
    assert shown(text) == expected


def test_a_text_that_grows_when_escaped_is_still_short() -> None:
    assert len(shown("\x1b" * 1000)) == MOST_SHOWN

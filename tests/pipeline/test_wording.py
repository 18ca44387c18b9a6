"""Counts in messages."""

from __future__ import annotations

import pytest

from jobs import progress
from pipeline.progress import View
from pipeline.wording import counted


@pytest.mark.parametrize(("number", "said"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (1000, "1000 rows")])
def test_one_thing_has_no_plural(number: int, said: str) -> None:
    assert counted(number, "row") == said


@pytest.mark.parametrize(("rows", "said"), [(1, "scoring: 1 row"), (2, "scoring: 2 rows")])
def test_a_line_about_one_row_says_so(rows: int, said: str) -> None:
    assert progress.line(View("scoring", 1.0, rows)) == said


def test_a_plural_that_is_not_with_an_s_is_given() -> None:
    assert [counted(number, "row is", "rows are") for number in (1, 2)] == ["1 row is", "2 rows are"]

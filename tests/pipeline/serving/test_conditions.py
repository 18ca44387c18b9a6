"""Conditions of clients: what they mean, and that nothing else gets through."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest

from pipeline import table
from pipeline.errors import UsageError
from pipeline.serving import conditions
from pipeline.serving.conditions import to_sql
from pipeline.table import Table
from tests.tables import write_table

ROWS = 12
WORDS = ["it's", "a%b", "a_b", "A dog", "a cat", 'say "x"', "über", "OR 1=1", "\\", "", "'; DROP", "dog"]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Table:
    vectors = np.eye(ROWS, 16)
    more = {
        "word": WORDS,
        "Odd name": list(range(ROWS)),
        "flag": [row % 2 == 0 for row in range(ROWS)],
        "size": np.arange(ROWS, dtype=np.float64) / 4,
        "when": [datetime(2026, 1, 1 + row) for row in range(ROWS)],
        "lists": [[row] for row in range(ROWS)],
        "NOT": [None if row < 3 else row for row in range(ROWS)],
    }
    return table.open_table(table.parse(str(write_table(tmp_path_factory.mktemp("t") / "t", vectors, vectors, **more))))


def rows(opened: Table, condition: str) -> list[int]:
    found = [
        row for batch in opened.scan(["Odd name"], to_sql(condition, opened.schema)) for row in batch[0].to_pylist()
    ]
    return sorted(found)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("size >= 2.5", [10, 11]),
        ("size > 2.5", [11]),
        ("size < +.5e0", [0, 1]),
        ("size <> 0 and size != 0.25 and size <= 0.5", [2]),
        ('`Odd name` = 3 OR "Odd name" = 5', [3, 5]),
        ("`Odd name` IN (1, 2, 99)", [1, 2]),
        ("`Odd name` not in (1,2,3,4,5,6,7,8,9)", [0, 10, 11]),
        ("`Odd name` BETWEEN 2 AND 3 AND flag = TRUE", [2]),
        ("`Odd name` NOT BETWEEN 1 AND 10", [0, 11]),
        ("NOT (flag = true OR `Odd name` > 4)", [1, 3]),
        ("not not flag = false and size < 1", [1, 3]),
        ("`NOT` IS NULL", [0, 1, 2]),
        ("`NOT` IS NOT NULL AND size < 1", [3]),
        ("word = 'it''s'", [0]),
        ("word LIKE 'a_b'", [1, 2]),
        ("word ILIKE 'a dog'", [3]),
        ("word NOT LIKE '%a%' AND word LIKE '%o%'", [3, 11]),
        ("word = 'OR 1=1'", [7]),
        ("word = '\\'", [8]),
        ("word = ''", [9]),
        ("word = '''; DROP'", [10]),
        ("word = 'über'", [6]),
        ("when >= '2026-01-11'", [10, 11]),
        ("when < '2026-01-02T01:00:00+02:00'", [0]),
        ("flag = TRUE AND size > 1 OR word = 'dog'", [6, 8, 10, 11]),
    ],
)
def test_a_condition_means_what_it_says(opened: Table, condition: str, expected: list[int]) -> None:
    assert rows(opened, condition) == expected


@pytest.mark.parametrize(
    ("condition", "named"),
    [
        ("", "expected a column, not its end"),
        ("size", "expected =, !="),
        ("size > ", "expected a value"),
        ("size > other", "expected a value"),
        ("size > 1 size < 2", "expected AND, OR or its end, not 'size' at character 10"),
        ("siz > 1", "no column 'siz'; choose from size"),
        ("(size > 1", "expected )"),
        ("size > 'a'", "cannot be compared with 'a' at character 8; write a number"),
        ("word = 3", "write a text in single quotes"),
        ("flag = 1", "write TRUE or FALSE"),
        ("`Odd name` = 1.5", "write a whole number"),
        ("`Odd name` = 99999999999999999999", "write a whole number"),
        ("size < 1e999", "write a number"),
        ("when > 'yesterday'", "write a time"),
        ("size LIKE 'a'", "LIKE is for text"),
        ("lists = 1", "no condition can compare"),
        ("image_vector IS NULL", "no condition can compare"),
        ("size > 1; DROP TABLE t", "cannot read '; DROP TABLE t'"),
        ("size > 1 -- x", "cannot read '-- x'"),
        ("abs(size) > 1", "no column 'abs'"),
        ("size > (SELECT 1)", "expected a value"),
        ("word = 'a", 'cannot read "\'a"'),
        ("size > 1x", "cannot read '1x'"),
        ("1 = 1", "expected a column, not '1'"),
        ("`size` > `size`", "expected a value"),
        ("`a``b` = 1", "no column 'a'"),
        ("(" * 40 + "size > 1" + ")" * 40, "inside each other"),
        ("NOT " * 40 + "size > 1", "inside each other"),
        (" OR ".join(["size > 1"] * 101), "more than 100 comparisons"),
        (f"`Odd name` IN ({','.join(['1'] * 1001)})", "more than 1000 values"),
        ("size > " + "1" * 5000, "give at most 4000"),
    ],
)
def test_anything_else_is_refused(opened: Table, condition: str, named: str) -> None:
    with pytest.raises(UsageError) as caught:
        to_sql(condition, opened.schema)
    assert named in str(caught.value)


def test_a_column_with_a_backquote_cannot_be_named() -> None:
    columns = pa.schema([pa.field("a`b", pa.int64())])
    assert not conditions.comparable(columns.field(0))
    with pytest.raises(UsageError):
        to_sql('"a`b" = 1', columns)

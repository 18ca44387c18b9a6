"""What every signal promises. A new module in `pipeline/scoring/signals/` is tested here without another line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline import schema, scoring, table
from pipeline.scoring.signals import signals
from pipeline.table import Committer, TableUri
from tests.rows import rows_of
from tests.tables import write_table
from tests.vectors import simulated

SIGNALS = signals()
ROWS = 320


def columns(rows: int) -> dict[str, Any]:
    """Everything that a signal may read, with a null here and there."""
    return {
        schema.CAPTION: [None if row == 3 else f"caption number {row}" for row in range(rows)],
        "original_width": pa.array([None if row == 5 else 100 + row for row in range(rows)], pa.int32()),
        "original_height": pa.array([200 - row for row in range(rows)], pa.int32()),
    }


@pytest.fixture
def uri(tmp_path: Path) -> TableUri:
    pairs, _ = simulated(ROWS, 0.2, seed=0)
    write_table(tmp_path / "t", pairs.image_vectors, pairs.text_vectors, **columns(ROWS))
    return table.parse(str(tmp_path / "t"))


def fill(uri: TableUri, name: str, again: bool = False) -> int:
    """How many rows were filled; a signal that needs a target compares with a table of its own."""
    target = None
    if SIGNALS[name].NEEDS_TARGET:
        other = table.parse(f"{uri.database}/target")
        if not table.exists(other):
            pairs, _ = simulated(16, 0, seed=1)
            write_table(Path(str(other)), pairs.image_vectors, pairs.text_vectors)
        target = scoring.read_target(other, table.open_table(uri))
    return sum(scoring.fill_signal(uri, name, again, target))


def values(uri: TableUri, name: str) -> list[tuple[Any, ...]]:
    rows = rows_of(f"{uri.database}/{uri.name}")
    return [tuple(rows[place][field] for field in SIGNALS[name].FIELDS) for place in sorted(rows)]


@pytest.mark.parametrize("name", SIGNALS)
def test_its_columns_are_numbers_or_texts_that_no_other_signal_has(name: str) -> None:
    fields = SIGNALS[name].FIELDS
    assert fields
    kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_string)
    assert all(any(is_kind(kind) for is_kind in kinds) for kind in fields.values())
    assert all(schema.is_free_name(field) for field in fields)
    others = [field for other, each in SIGNALS.items() if other != name for field in each.FIELDS]
    assert not set(fields) & set(others)


@pytest.mark.parametrize("name", SIGNALS)
def test_rows_that_hold_what_it_reads_are_filled_and_no_others(name: str, uri: TableUri) -> None:
    opened = table.open_table(uri)
    assert set(SIGNALS[name].READ) <= set(opened.schema.names)
    has_all = opened.count(" AND ".join(f"{column} IS NOT NULL" for column in SIGNALS[name].READ))
    assert fill(uri, name) == has_all
    found = table.open_table(uri).schema
    assert {field: found.field(field).type for field in SIGNALS[name].FIELDS} == dict(SIGNALS[name].FIELDS)
    filled = values(uri, name)
    assert sum(None not in row for row in filled) == has_all
    assert all(len({value is None for value in row}) == 1 for row in filled)


@pytest.mark.parametrize("name", SIGNALS)
def test_it_is_filled_once_goes_on_with_new_rows_and_again_on_request(name: str, uri: TableUri) -> None:
    filled = fill(uri, name)
    assert fill(uri, name) == 0
    before = values(uri, name)
    opened = table.open_table(uri)
    more = pa.Table.from_batches(opened.scan(opened.schema.names, "key IN ('0', '1')"), opened.schema)
    fresh = {
        schema.UID: [f"{99 + row:032x}" for row in range(2)],
        schema.SOURCE: ["c.parquet"] * 2,
        **{field: pa.nulls(2, kind) for field, kind in SIGNALS[name].FIELDS.items()},
    }
    for field, column in fresh.items():
        more = more.set_column(more.schema.get_field_index(field), more.schema.field(field), pa.array(column))
    Committer(uri, opened.schema, opened).commit([table.stage(uri, more)])
    assert fill(uri, name) == 2
    assert values(uri, name)[:ROWS] == before
    assert fill(uri, name, again=True) == filled + 2


@pytest.mark.parametrize("name", SIGNALS)
def test_its_values_do_not_depend_on_batches(name: str, uri: TableUri, tmp_path: Path) -> None:
    fill(uri, name)
    opened = table.open_table(uri)
    names = [field for field in opened.schema.names if field not in SIGNALS[name].FIELDS]
    rows = pa.Table.from_batches(opened.scan(names, None))
    rows = rows.cast(pa.schema(list(rows.schema), metadata=opened.schema.metadata))
    other = table.parse(str(tmp_path / "parts"))
    parts = [table.stage(other, rows.slice(start, 7)) for start in range(0, ROWS, 7)]
    Committer(other, rows.schema, None).commit(parts)
    fill(other, name)
    for ours, theirs in zip(values(uri, name), values(other, name), strict=True):
        assert [value for value in ours if isinstance(value, str)] == [v for v in theirs if isinstance(v, str)]
        numbers = ([np.nan if isinstance(v, str | None) else v for v in row] for row in (ours, theirs))
        np.testing.assert_allclose(*numbers, rtol=1e-5, atol=1e-6)

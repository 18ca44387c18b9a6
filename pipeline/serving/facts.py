"""What a table holds: its rows by status, and of each column what a filter on it could say."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema, table
from pipeline.serving.conditions import comparable
from pipeline.serving.json_values import plain, showable
from pipeline.table import Table
from pipeline.upkeep import status

SAMPLE = 10_000
"""rows that the facts of columns are from"""
_RUNS = 20
"""of consecutive rows that make the sample: single rows would cost a read each"""
MOST_VALUES = 40
"""a column of texts with more values is searched by LIKE; fewer are listed"""

Kind = Literal["text", "number", "flag", "time", "other"]


@dataclass(frozen=True)
class Column:
    name: str
    type: str
    """Arrow's name of it"""
    kind: Kind
    filterable: bool
    """whether conditions can compare it"""
    values: tuple[str, ...] = ()
    """texts of the sample, the most frequent first, if there are few"""
    low: float | None = None
    high: float | None = None
    """of the numbers in the sample"""
    empty: float = 0.0
    """share of the sample without a value"""


@dataclass(frozen=True)
class Facts:
    version: int
    rows: int
    by_status: dict[str, int]
    fragments: int
    has_captions: bool
    """whether any sampled row has one"""
    has_words: bool
    """whether there is an index of the words of captions"""
    sampled: int
    columns: tuple[Column, ...]


def facts(opened: Table) -> Facts:
    """Reads the status of every row, and a sample for the columns."""
    counts: Counter[str] = Counter()
    for (kind,), rows in status.count_rows(opened, (schema.STATUS,)).items():
        counts[str(kind)] += rows
    fields = [field for field in opened.schema if showable(field)]
    sample = _sample(opened, [field.name for field in fields], counts.total())
    captions = sample[schema.CAPTION]
    return Facts(
        opened.version,
        counts.total(),
        dict(counts),
        opened.fragments,
        captions.null_count < len(captions),
        table.has_text_index(opened, schema.CAPTION),
        len(sample),
        tuple(_column(field, sample[field.name]) for field in fields),
    )


def _sample(opened: Table, names: list[str], rows: int) -> pa.Table:
    if rows <= SAMPLE:
        places = np.arange(rows)
    else:
        starts = np.linspace(0, rows - SAMPLE // _RUNS, _RUNS).astype(int)
        places = np.concatenate([np.arange(start, start + SAMPLE // _RUNS) for start in starts])
    return opened.take(np.unique(places).tolist(), names)


def _column(field: pa.Field, values: pa.ChunkedArray) -> Column:
    kind = _kind(field.type)
    known: dict[str, Any] = {"empty": values.null_count / len(values) if len(values) else 0.0}
    if kind == "text":
        found = sorted(pc.value_counts(values.drop_null()).to_pylist(), key=lambda item: -item["counts"])
        if len(found) <= MOST_VALUES:
            known["values"] = tuple(item["values"] for item in found)
    elif kind == "number" and len(finite := _finite(values)):
        known |= {"low": float(finite.min()), "high": float(finite.max())}
    return Column(field.name, str(field.type), kind, comparable(field), **known)


def _finite(values: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    numbers = values.drop_null().cast(pa.float64(), safe=False).to_numpy()
    finite: npt.NDArray[np.float64] = numbers[np.isfinite(numbers)]
    return finite


def _kind(kind: pa.DataType) -> Kind:
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "text"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return "number"
    if pa.types.is_boolean(kind):
        return "flag"
    return "time" if pa.types.is_temporal(kind) else "other"


def row(opened: Table, uid: str) -> dict[str, Any] | None:
    """The first row with this uid, whatever its status, without vectors and bytes; None if there is none."""
    assert schema.is_uid(uid)
    names = [field.name for field in opened.schema if showable(field)]
    found = opened.first(names, f"{schema.UID} = '{uid}'")
    return None if found is None else {name: plain(value) for name, value in found.items()}

"""The pairs to look at: around the cut, the best and the worst."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline import schema
from pipeline.report.cut import Chosen
from pipeline.table import Table

MOST = 12
"""pairs of a kind"""

Addresses = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Pair:
    address: int
    """of its row"""
    row: Mapping[str, Any]
    """`uid`, `caption`, `source`, `source_row`, and the score that the cut is by"""


@dataclass(frozen=True)
class Examples:
    """Addresses of rows: nearest to the cut first, or the most extreme."""

    above: Addresses
    below: Addresses
    best: Addresses
    worst: Addresses


def examples(chosen: Chosen) -> Examples:
    """With groups, near to the cut is near to that of a pair's own group."""
    nothing = np.empty(0, np.uint64)
    scores = np.concatenate([nothing.astype(np.float64), *(group.scores for group in chosen.groups)])
    addresses = np.concatenate([nothing, *(group.addresses for group in chosen.groups)])
    lines = [np.nan if threshold is None else threshold for threshold in chosen.thresholds]
    margins = scores - np.repeat(lines, [len(group.scores) for group in chosen.groups])
    return Examples(
        addresses[_least(margins, np.flatnonzero((margins >= 0) & np.isfinite(margins)))],
        addresses[_least(-margins, np.flatnonzero((margins < 0) & np.isfinite(margins)))],
        addresses[_least(-scores, np.arange(len(scores)))],
        addresses[_least(scores, np.arange(len(scores)))],
    )


def _least(values: npt.NDArray[np.float64], among: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Where the `MOST` least values are, in their order."""
    if len(among) > MOST:
        among = among[np.argpartition(values[among], MOST)[:MOST]]
    return among[np.argsort(values[among], kind="stable")]


def read(table: Table, addresses: Sequence[int], score: str) -> dict[int, Pair]:
    """The pairs at these addresses, by address."""
    columns = dict.fromkeys([schema.UID, schema.CAPTION, schema.SOURCE, schema.SOURCE_ROW, schema.IMAGE_SHA256, score])
    wanted = np.array(addresses, np.uint64)
    rows = table.take(table.positions(wanted).tolist(), list(columns)).to_pylist()
    return {address: Pair(address, row) for address, row in zip(addresses, rows, strict=True)}

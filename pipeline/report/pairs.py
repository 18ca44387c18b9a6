"""The example pairs: around the cut, the best and the worst."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline import schema
from pipeline.filtering.scores import Scores
from pipeline.report.chosen_cut import Chosen
from pipeline.table import Table

MOST = 12
"""pairs of each kind"""

Addresses = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Pair:
    address: int
    """address of its row"""
    row: Mapping[str, Any]
    """`uid`, `caption`, `source`, `source_row`, the columns of the cut, and a stored thumbnail if it was read"""


@dataclass(frozen=True)
class Examples:
    """Addresses of rows: the nearest to the cut first, or the most extreme first."""

    above: Addresses
    below: Addresses
    best: Addresses
    worst: Addresses


def examples(chosen: Chosen) -> Examples:
    """Chooses the examples. With groups, a pair's distance is measured to the cut of its own group."""
    near, margins = _joined([(group.addresses, group.margins) for group in chosen.near])
    ranked, scores = _joined([(group.addresses, group.scores) for group in chosen.ranked])
    return Examples(
        near[_least(margins, np.flatnonzero((margins >= 0) & np.isfinite(margins)))],
        near[_least(-margins, np.flatnonzero((margins < 0) & np.isfinite(margins)))],
        ranked[_least(-scores, np.arange(len(scores)))],
        ranked[_least(scores, np.arange(len(scores)))],
    )


def _joined(groups: Sequence[tuple[Addresses, Scores]]) -> tuple[Addresses, Scores]:
    if len(groups) == 1:
        return groups[0]  # not copied, because a table may be large
    addresses = np.concatenate([np.empty(0, np.uint64), *(addresses for addresses, _ in groups)])
    return addresses, np.concatenate([np.empty(0), *(values for _, values in groups)])


def _least(values: Scores, among: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Indices of the `MOST` smallest values, in ascending order of value."""
    if len(among) > MOST:
        among = among[np.argpartition(values[among], MOST)[:MOST]]
    return among[np.argsort(values[among], kind="stable")]


def read(table: Table, addresses: Sequence[int], further: Sequence[str]) -> dict[int, Pair]:
    """The pairs at these addresses, by address. `further`: columns of the cut, and of thumbnails."""
    columns = dict.fromkeys(
        [schema.UID, schema.CAPTION, schema.SOURCE, schema.SOURCE_ROW, schema.IMAGE_SHA256, *further]
    )
    wanted = np.array(addresses, np.uint64)
    rows = table.take(table.positions(wanted).tolist(), list(columns)).to_pylist()
    return {address: Pair(address, row) for address, row in zip(addresses, rows, strict=True)}

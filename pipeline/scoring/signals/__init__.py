"""Further scores of pairs, one module each: a new module here is a new `score --signal`; nothing else names it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Protocol, cast

import pyarrow as pa

from pipeline.vectors import Vectors

Columns = dict[str, pa.Array]


@dataclass(frozen=True)
class Reference:
    """Pairs of the table to compare with, drawn by chance: uids [M], and vectors [M, D] both."""

    uids: Sequence[str]
    image_vectors: Vectors
    text_vectors: Vectors


@dataclass(frozen=True)
class Context:
    """What a signal may know of the table beside the rows that it is computed for."""

    logit_scale: float
    """exp(t)"""
    draw: Callable[[int, int], Reference]
    """(how many pairs at most, seed) -> so many of the embedded pairs"""
    target: Vectors | None = None
    """image vectors [M, D] of the table that `--target` names; there for a signal that needs them"""


class Signal(Protocol):
    """What each module of this package provides."""

    FIELDS: Mapping[str, pa.DataType]
    """the columns that it fills, by name, with their types"""
    READ: Sequence[str]
    """the columns that it is computed from; rows where one is null have no signal"""
    NEEDS_TARGET: bool
    """whether it compares with the images of a table that the user names"""

    def prepare(self, context: Context) -> Callable[[pa.RecordBatch], Columns]:
        """What computes the columns of a batch of rows, none null in what is read."""


def signals() -> dict[str, Signal]:
    """Every signal, by name."""
    return {module.name: cast(Signal, import_module(f"{__name__}.{module.name}")) for module in iter_modules(__path__)}

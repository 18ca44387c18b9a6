"""Further scores of pairs, one module each: a new module here adds a new `score --signal`. No other file names it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Protocol, cast

import pyarrow as pa

from pipeline.mismatch.reference import Reference
from pipeline.vectors import Vectors

Columns = dict[str, pa.Array]


@dataclass(frozen=True)
class Context:
    """What a signal may know about the table, besides the rows that it is computed for."""

    logit_scale: float
    """exp(t)"""
    draw: Callable[[int, int], Reference]
    """(most pairs, seed) -> randomly drawn embedded pairs"""
    target: Vectors | None = None
    """image vectors [M, D] of the table that `--target` names; only for a signal that needs them"""


class Signal(Protocol):
    """What each module of this package provides.

    A module that computes its values with a library of an extra also has PACKAGE, the library's name, and EXTRA, that
    of the extra. Values of two versions of the library are not mixed.

    A module whose values need an estimate over the whole table has `fitted` in place of `prepare`.
    """

    FIELDS: Mapping[str, pa.DataType]
    """the columns that it fills: name -> type"""
    READ: Sequence[str]
    """the columns that it is computed from; a row with a null in one of them gets no signal"""
    NEEDS_TARGET: bool
    """whether it compares with the images of a table that the user names"""

    def prepare(self, context: Context) -> Callable[[pa.RecordBatch], Columns]:
        """A function that computes the columns for a batch of rows. The columns in READ have no nulls there."""


@dataclass(frozen=True)
class Fitted:
    """A signal for one estimate."""

    signal: Signal
    version: str
    """values of two versions are not mixed"""
    estimate: str
    """is stored with the first column, so that a later run uses the same"""
    groups: Sequence[str]
    """columns that it reads beside `signal.READ`; a null in them is a value too"""


def signals() -> dict[str, Signal]:
    """Every signal, by name."""
    return {module.name: cast(Signal, import_module(f"{__name__}.{module.name}")) for module in iter_modules(__path__)}

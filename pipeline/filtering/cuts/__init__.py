"""The kinds of cut, one module each. The module's name is the key in a rule: a new module here adds a new key.

A kind with a `HELP` is also an option of `siglane filter`, and a key of the manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Protocol, cast

from pipeline.errors import UsageError
from pipeline.filtering.certified.cut import Unsure
from pipeline.filtering.made_cut import MadeCut
from pipeline.filtering.scores import ScoredGroup
from pipeline.mismatch.estimate import Assumption
from pipeline.mismatch.q_values import stored_fit
from pipeline.table import Table

Maker = Callable[[Sequence[ScoredGroup]], list[MadeCut]]
"""makes a cut for each group of rows"""


@dataclass(frozen=True)
class Context:
    """What a cut may depend on, besides its value and the scores."""

    table: Table
    by: str | None
    """the column of the cut; None: a weighted sum of several columns"""
    per: str | None
    """the column that rows are grouped by; None: there is one group, with the value None"""
    seed: int
    assumes: Assumption
    """how wrong captions come about"""
    path: str
    """the cut's position in the rule, for messages; empty if it is the only cut"""
    where: str | None = None
    """the selection's condition on rows"""
    labels: Path | None = None
    """labels that certify the cut"""
    unsure: Unsure = "wrong"
    """what the label `unsure` counts as"""


class Kind(Protocol):
    """What each module of this package provides."""

    VALUE: Any
    """pydantic type of the cut's value, with its limits"""
    HELP: str | None
    """what the cut keeps, for the command's help; None: the cut is for rules only"""
    FOR_SUMS: bool
    """whether the cut also works on a weighted sum"""
    NEEDS_ADDRESSES: bool
    """whether the cut reads more of the rows than their scores, and so needs their addresses"""

    def cut(self, value: Any, context: Context, /) -> MadeCut | Maker:
        """The cut, if it does not depend on the scores; they are then not read. Otherwise a function that makes it.

        Raises:
            UsageError: the value does not fit the table or the groups.
        """


def require_higher_is_better(table: Table, by: str | None) -> None:
    """Raises UsageError if good pairs have small values of the column: then the best would be the worst."""
    fit = None if by is None else stored_fit(table, by)
    if fit is not None:
        raise UsageError(
            f"column {by!r}: good pairs have small values, so the pairs with the highest are the worst; give "
            f"--max, or rank by {fit.how.by}"
        )


def cuts() -> dict[str, Kind]:
    """Every kind, by name."""
    return {module.name: cast(Kind, import_module(f"{__name__}.{module.name}")) for module in iter_modules(__path__)}

"""The kinds of cut, one module each, named by its key in a rule: a new module here is a new key; nothing else names it.

With a `HELP` it is an option of `siglane filter` too, and a key of the manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Protocol, cast

from pipeline.filtering.made_cut import MadeCut
from pipeline.filtering.scores import ScoredGroup
from pipeline.table import Table

Maker = Callable[[Sequence[ScoredGroup]], list[MadeCut]]
"""makes a cut for each group of rows"""


@dataclass(frozen=True)
class Context:
    """What a cut may depend on beside its value and the scores."""

    table: Table
    by: str | None
    """the column that is cut; None: a weighted sum of several"""
    per: str | None
    """the column that rows are grouped by; None: there is one group, of the value None"""
    seed: int
    path: str
    """the cut's place in the rule, for messages; empty where it is the only one"""


class Kind(Protocol):
    """What each module of this package provides."""

    VALUE: Any
    """the type of its value, with its limits, as pydantic takes it"""
    HELP: str | None
    """what it keeps, for the help of the command; None: it is for rules alone"""
    FOR_SUMS: bool
    """whether it can cut a weighted sum too"""
    NEEDS_ADDRESSES: bool
    """whether it looks at more of the rows than their scores, and so needs to know where they lie"""

    def cut(self, value: Any, context: Context, /) -> MadeCut | Maker:
        """The cut, where it is the same whatever the scores are, so that they need not be read; else what makes it.

        Raises:
            UsageError: the value does not fit the table or the groups.
        """


def cuts() -> dict[str, Kind]:
    """Every kind, by name."""
    return {module.name: cast(Kind, import_module(f"{__name__}.{module.name}")) for module in iter_modules(__path__)}

"""The cuts of an earlier filter, from its manifest: the same ones for another table, or for the same one grown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.errors import TableError, UsageError
from pipeline.filtering.cuts import Maker
from pipeline.filtering.made_cut import MadeCut
from pipeline.filtering.manifest import Manifest
from pipeline.table import Table


def cuts(manifest: Path, table: Table, by: str | None, per: str | None) -> Sequence[dict[Any, MadeCut]]:
    """The cuts as they were found, each by group: the one by the column `by`, or, where that is None, all of the rule.

    They keep all that ties at their thresholds: which of the rows were kept there says nothing of other rows.

    Raises:
        UsageError: no manifest of a filter, or one of another column, other groups or another model's scores.
    """
    found = Manifest.read(manifest)
    if by is not None and found.by is None:
        raise UsageError(
            f"threshold_from {manifest}: was cut by a rule, not by {by}; give it as --threshold-from, without --by and "
            "--rule, to apply the whole rule with its cuts as they were found"
        )
    for option, theirs, ours in (("by", found.by, by), ("per", found.per, per)):
        if theirs != ours:
            give = f"give --{option} {theirs}" if theirs is not None else f"leave out --{option}"
            raise UsageError(f"threshold_from {manifest}: was cut {option} {theirs}, not {ours}; {give}")
    found.require_identity(f"threshold_from {manifest}", table)
    values = [group.value for group in found.groups]
    of_groups = [[replace(cut, ties_kept=None) for cut in group.made] for group in found.groups]
    return [dict(zip(values, of_cut, strict=True)) for of_cut in zip(*of_groups, strict=True)]


def as_found(found: Mapping[Any, MadeCut], per: str | None) -> MadeCut | Maker:
    """The only cut, or with `per` what gives each group its own.

    Raises:
        TableError: the earlier filter has seen no row with a group's value.
    """
    if per is None:
        return _of_group(found, None, None)
    return lambda groups: [_of_group(found, group.value, per) for group in groups]


def _of_group(found: Mapping[Any, MadeCut], value: Any, per: str | None) -> MadeCut:
    if value not in found:
        raise TableError(
            f"rows with {per} {value!r}: the manifest has no threshold for them; leave them out by --where"
        )
    return found[value]

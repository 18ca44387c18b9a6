"""Reads the cuts of an earlier filter from its manifest, to use them for another table or for the same table later."""

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
    """The cuts of the manifest, each by group: the cut by the column `by`, or all cuts of the rule if `by` is None.

    They keep all rows exactly at their thresholds: the manifest's choice among tied rows does not apply to other rows.

    Raises:
        UsageError: the file is not a filter's manifest, or is one for another column, other groups or another model.
    """
    found = Manifest.read(manifest)
    if by is not None and found.by is None:
        raise UsageError(
            f"threshold_from {manifest}: that filter used a rule, not --by {by}; give --threshold-from without --by "
            "and --rule, to apply the complete rule with its thresholds"
        )
    for option, theirs, ours in (("by", found.by, by), ("per", found.per, per)):
        if theirs != ours:
            used = f"used --{option} {theirs}" if theirs is not None else f"did not use --{option}"
            fix = f"give --{option} {theirs}" if theirs is not None else f"leave out --{option}"
            raise UsageError(f"threshold_from {manifest}: that filter {used}; {fix}")
    found.require_identity(f"threshold_from {manifest}", table)
    found.require_batch(f"threshold_from {manifest}", table)
    values = [group.value for group in found.groups]
    of_groups = [[replace(cut, ties_kept=None) for cut in group.made] for group in found.groups]
    return [dict(zip(values, of_cut, strict=True)) for of_cut in zip(*of_groups, strict=True)]


def as_found(found: Mapping[Any, MadeCut], per: str | None) -> MadeCut | Maker:
    """The only cut, or with `per` a function that gives each group its cut.

    Raises:
        TableError: the earlier filter saw no row with a group's value.
    """
    if per is None:
        return _of_group(found, None, None)
    return lambda groups: [_of_group(found, group.value, per) for group in groups]


def _of_group(found: Mapping[Any, MadeCut], value: Any, per: str | None) -> MadeCut:
    if value not in found:
        raise TableError(
            f"rows with {per} {value!r}: the manifest has no threshold for them; exclude them with --where"
        )
    return found[value]

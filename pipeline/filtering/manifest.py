"""The cuts of an earlier filter, from its manifest: the same ones for another table, or for the same one grown."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import TableError, UsageError
from pipeline.filtering.cut import Cut
from pipeline.filtering.rule import Rule, parse_rule
from pipeline.filtering.scores import Scale
from pipeline.schema import Identity
from pipeline.table import Table

# Readers of Parquet folders leave out files whose names begin so.
MANIFEST = "_manifest.json"


@dataclass(frozen=True)
class EarlierCut:
    """One cut of the earlier filter, in one group."""

    cut: Cut
    """keeps what ties at its threshold"""
    scales: Mapping[str, Scale] | None
    """of the columns of a weighted sum, which are scaled as they were then"""


def rule_of(manifest: Path) -> Rule | None:
    """The rule that the earlier filter was by; None where it was by one column.

    Raises:
        UsageError: no manifest of a filter.
    """
    rule = read(manifest).get("rule")
    return None if rule is None else parse_rule(rule, f"rule of the manifest {manifest}")


def cuts(manifest: Path, table: Table, by: str | None, per: str | None) -> Sequence[dict[Any, EarlierCut]]:
    """The cuts as they were found, each by group: the one by the column `by`, or, where that is None, all of the rule.

    Raises:
        UsageError: no manifest of a filter, or one of another column, other groups or another model's scores.
    """
    found = read(manifest)
    if by is not None and found["by"] is None:
        raise UsageError(
            f"threshold_from {manifest}: was cut by a rule, not by {by}; give it as --threshold-from, without --by and "
            "--rule, to apply the whole rule with its cuts as they were found"
        )
    for option, theirs, ours in (("by", found["by"], by), ("per", found["per"], per)):
        if theirs != ours:
            give = f"give --{option} {theirs}" if theirs is not None else f"leave out --{option}"
            raise UsageError(f"threshold_from {manifest}: was cut {option} {theirs}, not {ours}; {give}")
    require_identity(f"threshold_from {manifest}", found, table)
    of_groups = [[_cut(cut) for cut in group.get("cuts") or [group]] for group in found["groups"]]
    values = [group["value"] for group in found["groups"]]
    return [dict(zip(values, of_cut, strict=True)) for of_cut in zip(*of_groups, strict=True)]


def _cut(found: dict[str, Any]) -> EarlierCut:
    threshold = math.inf if found["threshold"] is None else float(found["threshold"])
    scales = found.get("scales")
    return EarlierCut(
        Cut(threshold, at_most=found.get("at_most", False)),
        None if scales is None else {column: (low, high) for column, (low, high) in scales.items()},
    )


def require_identity(manifest: str, found: dict[str, Any], table: Table) -> None:
    """Raises UsageError where the manifest, `found`, is of another model's scores. `manifest`: what to call it."""
    for name, here, there in table.identity.differences(Identity.from_json(json.dumps(found["identity"]))):
        raise UsageError(
            f"{manifest}: its scores were made with {name} {there}, those of table {table.uri} with "
            f"{here}; thresholds do not carry over from one model to another"
        )


def of_group(found: Mapping[Any, EarlierCut], value: Any, per: str | None) -> EarlierCut:
    """Raises TableError where the earlier filter has seen no row with this value."""
    if value not in found:
        raise TableError(
            f"rows with {per} {value!r}: the manifest has no threshold for them; leave them out by --where"
        )
    return found[value]


def read(manifest: Path) -> dict[str, Any]:
    """What a filter's manifest says.

    Raises:
        UsageError: it cannot be read, or is none.
    """
    try:
        found: Any = json.loads(manifest.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"manifest {manifest}: cannot be read: {error}") from error
    if not isinstance(found, dict) or not {"table", "by", "per", "groups", "identity"} <= found.keys():
        raise UsageError(f"manifest {manifest}: not one of a filter; name the _manifest.json in its output folder")
    return found

"""Thresholds of an earlier filter, from its manifest: the same cut for another table, or for the same one grown."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from pipeline.errors import TableError, UsageError
from pipeline.filters.cut import Cut
from pipeline.schema import Identity
from pipeline.table import Table


def thresholds(manifest: Path, table: Table, by: str, per: str | None) -> dict[Any, Cut]:
    """The cut by group, as the manifest holds them; what ties at a threshold is kept.

    Raises:
        UsageError: no manifest of a filter, or one of another column, other groups or another model's scores.
    """
    found = read(manifest)
    if found["by"] is None:
        raise UsageError(
            f"threshold_from {manifest}: was cut by a rule of several; give --rule with its thresholds as min"
        )
    for option, theirs, ours in (("by", found["by"], by), ("per", found["per"], per)):
        if theirs != ours:
            give = f"give --{option} {theirs}" if theirs is not None else f"leave out --{option}"
            raise UsageError(f"threshold_from {manifest}: was cut {option} {theirs}, not {ours}; {give}")
    require_identity(f"threshold_from {manifest}", found, table)
    return {
        group["value"]: Cut(math.inf if group["threshold"] is None else group["threshold"]) for group in found["groups"]
    }


def require_identity(manifest: str, found: dict[str, Any], table: Table) -> None:
    """Raises UsageError where the manifest, `found`, is of another model's scores. `manifest`: what to call it."""
    for name, here, there in table.identity.differences(Identity.from_json(json.dumps(found["identity"]))):
        raise UsageError(
            f"{manifest}: its scores were made with {name} {there}, those of table {table.uri} with "
            f"{here}; thresholds do not carry over from one model to another"
        )


def threshold_of(found: dict[Any, Cut], value: Any, per: str | None) -> Cut:
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

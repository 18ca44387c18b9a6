"""Why a pair was kept or dropped: its row, the value it was judged by, the cut, and the verdict."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline import schema
from pipeline.errors import TableError, UsageError
from pipeline.filtering import earlier
from pipeline.filtering.kept import KeptRows
from pipeline.filtering.scores import scores_of
from pipeline.filtering.selection import GroupCut, Selection
from pipeline.filters.cut import Cut
from pipeline.table import Table, TableUri, open_table, parse

_SHOWN = (
    schema.UID,
    schema.KEY,
    schema.SOURCE,
    schema.SOURCE_ROW,
    schema.CAPTION,
    schema.STATUS,
    schema.STAGE,
    schema.REASON,
    schema.ERROR_MESSAGE,
    *schema.SCORES,
    schema.DUPLICATE_OF,
    schema.DUPLICATE_METHOD,
)


@dataclass(frozen=True)
class Judged:
    row: dict[str, Any]
    """the row's columns, without vectors"""
    by: str | None = None
    value: float | None = None
    cut: float | None = None
    """what the value had to reach"""
    kept: bool | None = None
    """None without a manifest"""
    because: str | None = None


def why(uri: TableUri, uid: str, manifest: Path | None = None) -> list[Judged]:
    """Every row of this uid, as the filter that wrote the manifest saw it, or as it is now.

    Raises:
        UsageError: that is no uid, or no manifest of a filter of this table.
        TableError: there is no such table, or no such row in the state that was filtered.
    """
    if not re.fullmatch("[0-9a-f]{32}", uid):
        raise UsageError(f"uid {uid!r}: a uid is 32 hex characters, as in the column uid")
    found = None if manifest is None else earlier.read(manifest)
    if found is not None:
        _require_table(manifest, found, uri)
        uri = uri if uri.state is not None else replace(uri, state=found["tag"] or found["table_version"])
    table = open_table(uri)
    if found is not None:
        earlier.require_identity(f"manifest {manifest}", found, table)
    names = [name for name in table.schema.names if name in _SHOWN]
    rows = [row for batch in table.scan(names, f"uid = '{uid}'") for row in batch.to_pylist()]
    if not rows:
        raise TableError(f"table {uri}: has no row with uid {uid}")
    if found is None:
        return [Judged(row) for row in rows]
    return list(_judge(table, found, rows))


def _require_table(manifest: Path | None, found: dict[str, Any], uri: TableUri) -> None:
    """Raises UsageError where another table was filtered, whose rows and uids say nothing of this one's."""
    theirs, ours = (replace(address, state=None) for address in (parse(found["table"]), uri))
    if theirs != ours:
        raise UsageError(f"manifest {manifest}: is of table {theirs}, not of {ours}; give --table {theirs}")


def _judge(table: Table, manifest: dict[str, Any], rows: list[dict[str, Any]]) -> Iterator[Judged]:
    """`rows` are all of one uid."""
    selection = Selection(manifest["by"], where=manifest["where"], per=manifest["per"])
    cuts = [
        GroupCut(group["value"], group["rows"], group["scored"], Cut(_threshold(group), group["ties_kept"]))
        for group in manifest["groups"]
    ]
    kept = KeptRows(table, selection, cuts, [])
    seen: dict[tuple[str, int], tuple[float, GroupCut, bool]] = {}
    columns = list(dict.fromkeys([schema.SOURCE, schema.SOURCE_ROW, *kept.needed_columns]))
    for batch in table.scan(columns, f"({selection.condition}) AND uid = '{rows[0][schema.UID]}'"):
        places, mask = kept.groups_and_mask(batch)
        keys = zip(batch[schema.SOURCE].to_pylist(), batch[schema.SOURCE_ROW].to_pylist(), strict=True)
        for key, value, place, is_kept in zip(keys, scores_of(batch[selection.by]), places, mask, strict=True):
            seen[key] = (float(value), cuts[place], bool(is_kept))
    for row in rows:
        key = (row[schema.SOURCE], row[schema.SOURCE_ROW])
        if row[schema.STATUS] != schema.SUCCESS:
            yield Judged(row, selection.by, None, None, False, f"{row[schema.STATUS]}: {row[schema.REASON]}")
        elif key not in seen:
            yield Judged(row, selection.by, None, None, False, f"left out by --where {selection.where}")
        else:
            yield _judged(row, selection, *seen[key])


def _judged(row: dict[str, Any], selection: Selection, value: float, group: GroupCut, is_kept: bool) -> Judged:
    cut, by = group.cut, selection.by
    of = "" if selection.per is None else f" of {selection.per} {group.value!r}"
    if not math.isfinite(value):
        return Judged(row, by, None, None, False, f"has no {by}")
    if not math.isfinite(cut.threshold):
        return Judged(row, by, value, None, False, f"the cut{of} keeps nothing")
    if value == cut.threshold and cut.ties_kept is not None:
        word = "" if is_kept else "not "
        because = f"ties at the cut{of}, and is {word}among the {cut.ties_kept} of smallest uid that are kept"
    else:
        because = f"{by} {value:.6g} {'reaches' if is_kept else 'is below'} the cut{of} at {cut.threshold:.6g}"
    return Judged(row, by, value, cut.threshold, is_kept, because)


def _threshold(group: dict[str, Any]) -> float:
    return math.inf if group["threshold"] is None else float(group["threshold"])

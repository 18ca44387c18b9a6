"""Explains why a pair was kept or dropped: its row, the value that was judged, the cut, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline import schema
from pipeline.errors import TableError, UsageError
from pipeline.filtering.kept import KeptRows, Verdicts
from pipeline.filtering.made_cut import MadeCut
from pipeline.filtering.manifest import Manifest
from pipeline.filtering.rule import CutRule, cut_rules, one_cut, parse_rule
from pipeline.filtering.selection import GroupCut, Selection
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
class JudgedCut:
    """The verdict of one cut of a rule."""

    rule: str
    """position in the rule, e.g. `all[1].any[0]`"""
    by: str
    value: float | None
    cut: float | None
    """threshold that the value had to reach, or not to exceed"""
    passed: bool
    because: str


@dataclass(frozen=True)
class Judged:
    row: dict[str, Any]
    """the row's columns, without vectors"""
    by: str | None = None
    value: float | None = None
    cut: float | None = None
    """threshold that the value had to reach"""
    kept: bool | None = None
    """None without a manifest"""
    because: str | None = None
    cuts: Sequence[JudgedCut] = ()
    """cuts of the filter's rule; empty for a single cut"""


def why(uri: TableUri, uid: str, manifest: Path | None = None) -> list[Judged]:
    """Every row of this uid, in the table version that the manifest's filter saw, or in the newest version.

    Raises:
        UsageError: `uid` is not a uid, or `manifest` is not a filter's manifest of this table.
        TableError: there is no such table, or no such row in that version.
    """
    if not schema.is_uid(uid):
        raise UsageError(f"uid {uid!r}: not a uid; give 32 hex characters, as in the column uid")
    found = None if manifest is None else Manifest.read(manifest)
    if found is not None:
        _require_table(manifest, found, uri)
        uri = uri if uri.state is not None else replace(uri, state=found.tag or found.table_version)
    table = open_table(uri)
    if found is not None:
        found.require_identity(f"manifest {manifest}", table)
    names = [name for name in table.schema.names if name in _SHOWN]
    rows = [row for batch in table.scan(names, f"uid = '{uid}'") for row in batch.to_pylist()]
    if not rows:
        raise TableError(f"table {uri}: no row has uid {uid}; check --uid and --table")
    if found is None:
        return [Judged(row) for row in rows]
    return list(_judge(table, found, rows))


def _require_table(manifest: Path | None, found: Manifest, uri: TableUri) -> None:
    """Raises UsageError if the manifest is for another table: that filter did not judge the rows of this one."""
    theirs, ours = (replace(address, state=None) for address in (parse(found.table), uri))
    if theirs != ours:
        raise UsageError(f"manifest {manifest}: it is for table {theirs}, not for {ours}; give --table {theirs}")


def _judge(table: Table, manifest: Manifest, rows: list[dict[str, Any]]) -> Iterator[Judged]:
    """Judges rows, which must all have the same uid."""
    selection = _selection(manifest)
    groups = [GroupCut(group.value, group.made) for group in manifest.groups]
    kept = KeptRows(table, selection, groups, [])
    seen: dict[tuple[str, int], tuple[bool, list[JudgedCut]]] = {}
    columns = list(dict.fromkeys([schema.SOURCE, schema.SOURCE_ROW, *kept.needed_columns]))
    for batch in table.scan(columns, f"({selection.condition}) AND uid = '{rows[0][schema.UID]}'"):
        verdicts = kept.judge(batch)
        keys = zip(batch[schema.SOURCE].to_pylist(), batch[schema.SOURCE_ROW].to_pylist(), strict=True)
        for place, key in enumerate(keys):
            seen[key] = (bool(verdicts.kept[place]), _judged_cuts(selection, groups, verdicts, place))
    for row in rows:
        key = (row[schema.SOURCE], row[schema.SOURCE_ROW])
        if row[schema.STATUS] != schema.SUCCESS:
            yield Judged(row, selection.by, None, None, False, f"{row[schema.STATUS]}: {row[schema.REASON]}")
        elif key not in seen:
            yield Judged(row, selection.by, None, None, False, f"excluded by --where {selection.where}")
        elif selection.rule is None:
            is_kept, (cut,) = seen[key]
            yield Judged(row, cut.by, cut.value, cut.cut, is_kept, cut.because)
        else:
            is_kept, cuts = seen[key]
            yield Judged(row, None, None, None, is_kept, f"the rule {'holds' if is_kept else 'does not hold'}", cuts)


def _selection(manifest: Manifest) -> Selection:
    if manifest.rule is not None:
        rule = parse_rule(manifest.rule, "rule of the manifest")
        return Selection(where=manifest.where, per=manifest.per, rule=rule)
    assert manifest.by is not None
    # Any limit will do here: the manifest has the resulting threshold of each group.
    return Selection(one_cut(manifest.by, min=0.0), where=manifest.where, per=manifest.per)


def _judged_cuts(selection: Selection, groups: Sequence[GroupCut], verdicts: Verdicts, place: int) -> list[JudgedCut]:
    group = groups[verdicts.groups[place]]
    of = "" if selection.per is None else f" of {selection.per} {group.value!r}"
    rules = cut_rules(selection.whole_rule)
    of_cuts = zip(rules, group.cuts, verdicts.values, verdicts.passed, strict=True)
    return [
        _judged_cut(path, rule, made, of, float(values[place]), bool(passed[place]))
        for (path, rule), made, values, passed in of_cuts
    ]


def _judged_cut(path: str, rule: CutRule, cut: MadeCut, of: str, value: float, passed: bool) -> JudgedCut:
    by = rule.name
    if not math.isfinite(value):
        return JudgedCut(path, by, None, None, False, f"has no {by}")
    if not math.isfinite(cut.threshold):
        return JudgedCut(path, by, value, None, False, f"the cut{of} keeps nothing")
    if value == cut.threshold and cut.ties_kept is not None:
        word = "" if passed else "not "
        because = f"ties at the cut{of}, and is {word}among the {cut.ties_kept} kept rows with the smallest uids"
    else:
        compares = ("is within", "is above") if cut.at_most else ("reaches", "is below")
        because = f"{by} {value:.6g} {compares[not passed]} the cut{of} at {cut.threshold:.6g}"
    return JudgedCut(path, by, value, cut.threshold, passed, because)

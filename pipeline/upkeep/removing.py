"""Removes pairs from a table for good. Each leaves a tombstone, so that later runs do not embed the pair again."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema, table
from pipeline.errors import TableError, UsageError
from pipeline.table import Named, PurgePlan, TableUri

Kind = Literal["uids", "urls", "keys", "sha256"]


@dataclass(frozen=True)
class _Kind:
    """How rows are named by values of one kind."""

    one: str
    """what a value is called"""
    columns: Sequence[str]
    """where the value is looked for; at least one of these columns must be in the table"""
    is_valid: Callable[[str], bool]
    form: str
    """what a valid value looks like"""


KINDS: dict[Kind, _Kind] = {
    "uids": _Kind("uid", [schema.UID], schema.is_uid, "32 hex characters"),
    "urls": _Kind("url", ["url"], bool, "the value of the column 'url'"),
    "keys": _Kind("key", [schema.KEY], bool, "the value of the column 'key'"),
    "sha256": _Kind(
        "sha256",
        [schema.IMAGE_SHA256, "sha256"],
        lambda text: re.fullmatch("[0-9a-f]{64}", text) is not None,
        "64 hex characters in lower case",
    ),
}
"""how a file can name the rows to remove"""


@dataclass(frozen=True)
class Removal:
    """The result of a removal. Counts rows, except `not_found`, which counts uids or other names."""

    removed: int
    already_removed: int
    not_found: int


def remove(uri: TableUri, named: Named | None, where: str | None, dry_run: bool = False) -> Removal:
    """Removes the named rows, or those that meet `where`, in one atomic commit. `dry_run`: only counts them.

    Several rows may have the same name, even the same uid if the sources have their own uids. All are removed.

    Raises:
        TableError: there is no such table, `where` is not SQL over its columns, or other writers kept committing first.
    """
    already, missing = (0, 0) if named is None else _look_up(uri, named)
    act = table.count_rows if dry_run else table.remove_rows
    return Removal(act(uri, where, named), already, missing)


def plan_purge(uri: TableUri, named: Named | None, where: str | None) -> PurgePlan:
    """What a purge would delete once these rows are removed, or without `named` and `where`, now.

    Raises:
        TableError: as `remove`; or another run is at work on the table.
    """
    chosen = named is not None or where is not None
    return table.plan_purge(uri, table.find_rows(table.open_table(uri), where, named) if chosen else ())


def read_named(uri: TableUri, kind: Kind, file: Path) -> Named:
    """The rows named by the values of a text file, one value per line.

    Raises:
        UsageError: the file cannot be read, has no value, or has a line that is not one.
        TableError: there is no such table, or it has no column of such values.
    """
    values = read_values(kind, file)
    here = table.open_table(uri).schema
    columns = [name for name in KINDS[kind].columns if name in here.names and _is_text(here.field(name).type)]
    if not columns:
        raise TableError(
            f"table {uri}: it has no column {KINDS[kind].columns[0]!r} of texts (it has {', '.join(here.names)}), so "
            f"--{kind} cannot name rows; name them with --where, --uids or --keys"
        )
    return Named(columns, pa.array(sorted(set(values)), pa.string()))


def read_values(kind: Kind, file: Path) -> list[str]:
    """The values of a text file, one per line. Empty lines are skipped. Only keys may begin or end with a space.

    Raises:
        UsageError: the file cannot be read, has no value, or has a line that is not one.
    """
    known = KINDS[kind]
    hint = f"give a text file with one {known.one} per line"
    try:
        text = file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{kind} {file}: cannot be read: {error}; {hint}") from error
    lines = text.split() if kind in ("uids", "sha256") else re.split(r"\r\n|\r|\n", text)
    values = [value for line in lines if (value := line if kind == "keys" else line.strip())]
    for number, value in enumerate(values, 1):
        if not known.is_valid(value):
            what = f"entry {number}, {value[:50]!r}, is not a {known.one}"
            raise UsageError(f"{kind} {file}: {what}; a {known.one} is {known.form}")
    if not values:
        raise UsageError(f"{kind} {file}: the file is empty; {hint}")
    return values


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind))


def _look_up(uri: TableUri, named: Named) -> tuple[int, int]:
    """(number of already removed rows with these names, number of names that no row has)."""
    already, found = 0, set[str]()
    for batch in table.open_table(uri).scan([*named.columns, schema.STATUS], where=None):
        rows = batch.filter(named.of(batch))
        already += pc.sum(pc.equal(rows[schema.STATUS], schema.REMOVED)).as_py() or 0
        for name in named.columns:
            found.update(rows[name].cast(pa.string()).to_pylist())
    return already, len(set(named.values.to_pylist()) - found)

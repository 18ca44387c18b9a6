"""Removes pairs from a table for good. Each leaves a tombstone, so that later runs do not embed the pair again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema, table
from pipeline.errors import UsageError
from pipeline.table import TableUri


@dataclass(frozen=True)
class Removal:
    """The result of a removal. Counts rows, except `not_found`, which counts uids."""

    removed: int
    already_removed: int
    not_found: int


def remove(uri: TableUri, uids: Sequence[str] | None, where: str | None, dry_run: bool = False) -> Removal:
    """Removes the rows with these uids, or those that meet `where`, in one atomic commit. `dry_run`: only counts them.

    Several rows may have the same uid if the sources have their own uids. All of them are removed.

    Raises:
        TableError: there is no such table, `where` is not SQL over its columns, or other writers kept committing first.
    """
    wanted = None if uids is None else pa.array(sorted(set(uids)), pa.string())
    already, missing = (0, 0) if wanted is None else _look_up(uri, wanted)
    act = table.count_rows if dry_run else table.remove_rows
    return Removal(act(uri, where, wanted), already, missing)


def read_uids(file: Path) -> list[str]:
    """The uids of a text file, one per line.

    Raises:
        UsageError: the file cannot be read, contains no uid, or has a line that is not a uid.
    """
    try:
        lines = file.read_text("utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"uids {file}: cannot be read: {error}; give a text file with one uid per line") from error
    for number, line in enumerate(lines, 1):
        if not schema.is_uid(line):
            raise UsageError(f"uids {file}: entry {number}, {line[:50]!r}, is not a uid; a uid is 32 hex characters")
    if not lines:
        raise UsageError(f"uids {file}: the file is empty; give a text file with one uid per line")
    return lines


def _look_up(uri: TableUri, wanted: pa.Array) -> tuple[int, int]:
    """(number of already removed rows with these uids, number of uids that no row has)."""
    already, found = 0, set[str]()
    for batch in table.open_table(uri).scan([schema.UID, schema.STATUS], where=None):
        rows = batch.filter(pc.is_in(batch[schema.UID], value_set=wanted))
        already += pc.sum(pc.equal(rows[schema.STATUS], schema.REMOVED)).as_py() or 0
        found.update(rows[schema.UID].to_pylist())
    return already, len(wanted) - len(found)

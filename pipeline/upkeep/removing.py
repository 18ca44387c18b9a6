"""Taking pairs out of a table for good: later runs find their tombstones, and embed them no more."""

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
    """What became of the pairs that were to go, in rows; `not_found`: in uids."""

    removed: int
    already_removed: int
    not_found: int


def remove(uri: TableUri, uids: Sequence[str] | None, where: str | None, dry_run: bool = False) -> Removal:
    """Removes the rows of these uids, or those that meet `where`, in one atomic commit; with `dry_run`, only counts.

    A uid may stand in several rows, where the sources bring uids of their own: all of them go.

    Raises:
        TableError: there is no such table, `where` is not SQL over its columns, or other writers were quicker.
    """
    wanted = None if uids is None else pa.array(sorted(set(uids)), pa.string())
    already, missing = (0, 0) if wanted is None else _look_up(uri, wanted)
    act = table.count_rows if dry_run else table.remove_rows
    return Removal(act(uri, where, wanted), already, missing)


def read_uids(file: Path) -> list[str]:
    """The uids of a text file, one a line.

    Raises:
        UsageError: it cannot be read, holds none, or a line that is no uid.
    """
    try:
        lines = file.read_text("utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"uids {file}: cannot be read: {error}; give a text file with one uid a line") from error
    for number, line in enumerate(lines, 1):
        if not schema.is_uid(line):
            raise UsageError(f"uids {file}: entry {number}, {line[:50]!r}, is no uid; a uid is 32 hex characters")
    if not lines:
        raise UsageError(f"uids {file}: holds none; give a text file with one uid a line")
    return lines


def _look_up(uri: TableUri, wanted: pa.Array) -> tuple[int, int]:
    """(rows of these uids that are removed already, how many of the uids are nowhere)."""
    already, found = 0, set[str]()
    for batch in table.open_table(uri).scan([schema.UID, schema.STATUS], where=None):
        rows = batch.filter(pc.is_in(batch[schema.UID], value_set=wanted))
        already += pc.sum(pc.equal(rows[schema.STATUS], schema.REMOVED)).as_py() or 0
        found.update(rows[schema.UID].to_pylist())
    return already, len(wanted) - len(found)

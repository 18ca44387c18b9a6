"""Remove pairs from a table. Their tombstones stay, so that later runs do not embed them again.

The bytes of removed rows stay on disk until the table's files are rewritten and its old versions are cleaned up
(docs/table.md shows how).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from jobs import command
from jobs.command import Result
from pipeline import table
from pipeline.upkeep import removing


class RemoveJob(BaseModel):
    """Every option of `siglane remove`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str = Field(description="DATABASE/NAME of the table")
    uids: Path | None = Field(None, description="text file of the uids to remove, one per line")
    where: str | None = Field(None, description="SQL condition on the table's columns: remove the rows that match")
    dry_run: bool = Field(False, description="only count the rows that would be removed")

    @model_validator(mode="after")
    def _one_choice(self) -> RemoveJob:
        if (self.uids is None) == (self.where is None):
            raise ValueError("give one of --uids and --where, to choose the rows to remove")
        return self


def remove(options: RemoveJob) -> Result:
    started = time.monotonic()
    uri = table.parse_writable(options.table)
    uids = removing.read_uids(options.uids) if options.uids else None
    done = removing.remove(uri, uids, options.where, options.dry_run)
    summary = {
        "table": options.table,
        "dry_run": options.dry_run,
        "removed": done.removed,
        "already_removed": done.already_removed,
        "not_found": done.not_found,
        "seconds": round(time.monotonic() - started, 3),
    }
    verb = "would remove" if options.dry_run else "removed"
    text = (
        f"{options.table}: {verb} {done.removed} rows; {done.already_removed} were already removed; "
        f"{done.not_found} uids are not in the table"
    )
    return Result(summary, text)


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(RemoveJob, remove, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())

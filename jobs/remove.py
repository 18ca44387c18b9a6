"""Remove pairs from a table. Their tombstones stay, so that later runs do not embed them again.

The bytes of removed rows stay on disk, in files that readers skip over and in older versions, until `--purge` deletes
them too.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from jobs import command
from jobs.command import Result
from jobs.options import flag
from jobs.tags import as_line
from pipeline import table
from pipeline.errors import SiglaneError, UsageError
from pipeline.table import Named, Purged, PurgePlan, TableUri
from pipeline.upkeep import removing
from pipeline.upkeep.removing import Removal
from pipeline.wording import counted

CHOICES = (*removing.KINDS, "where")
"""options that choose the rows to remove"""


class RemoveJob(BaseModel):
    """Every option of `siglane remove`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str = Field(description="DATABASE/NAME of the table")
    uids: Path | None = Field(None, description="text file of the uids to remove, one per line")
    urls: Path | None = Field(None, description="text file of values of the column url: remove the rows that have one")
    keys: Path | None = Field(None, description="text file of values of the column key: remove the rows that have one")
    sha256: Path | None = Field(
        None, description="text file of values of the column image_sha256, or sha256: remove the rows that have one"
    )
    where: str | None = Field(None, description="SQL condition on the table's columns: remove the rows that match")
    dry_run: bool = Field(False, description="only count the rows that would be removed")
    purge: bool = Field(
        False,
        description="also delete the bytes of all removed rows: rewrite files, delete older versions, and tags that "
        "hold them; alone: of rows removed earlier",
    )
    yes: bool = Field(False, description="do not ask before --purge deletes versions and tags")

    @model_validator(mode="after")
    def _one_choice(self) -> RemoveJob:
        if len(self.chosen) != 1 and not (self.purge and not self.chosen):
            choices = ", ".join(map(flag, CHOICES))
            raise ValueError(f"give one of {choices}, to choose the rows to remove, or --purge alone")
        if self.yes and not self.purge:
            raise ValueError("--yes answers what --purge asks: give --purge too, or leave --yes out")
        return self

    @property
    def chosen(self) -> list[str]:
        """Which of CHOICES are given."""
        return [name for name in CHOICES if getattr(self, name) is not None]


def remove(options: RemoveJob) -> Result:
    started = time.monotonic()
    uri = table.parse_writable(options.table)
    named = _named(options, uri)
    planned = removing.plan_purge(uri, named, options.where) if options.purge else None
    if planned is not None and not options.dry_run:
        _agree(options, planned)
    done = removing.remove(uri, named, options.where, options.dry_run) if options.chosen else Removal(0, 0, 0)
    purged = None
    if planned is not None:
        agreed = [tag.name for tag in planned.tags]
        purged = Purged(planned.tags, planned.versions, 0) if options.dry_run else table.purge(uri, agreed)
    summary = {
        "table": options.table,
        "dry_run": options.dry_run,
        "removed": done.removed,
        "already_removed": done.already_removed,
        "not_found": done.not_found,
        "purged": purged and _as_dict(purged),
        "seconds": round(time.monotonic() - started, 3),
    }
    return Result(summary, "\n".join(_lines(options, named, done, purged)))


def _named(options: RemoveJob, uri: TableUri) -> Named | None:
    """The rows that a file names. None with --where."""
    for kind in removing.KINDS:
        file: Path | None = getattr(options, kind)
        if file is not None:
            return removing.read_named(uri, kind, file)
    return None


def _agree(options: RemoveJob, planned: PurgePlan) -> None:
    """Asks whether to delete versions and tags.

    Raises:
        UsageError: there is nobody to ask, and no --yes.
        SiglaneError: the answer is no.
    """
    if options.yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        tags = ", ".join(tag.name for tag in planned.tags)
        what = counted(planned.versions, "older version") + (f" and the tags {tags}" if tags else "")
        if outputs := _outputs(planned):
            what += f" (outputs that may hold removed pairs too: {', '.join(outputs)})"
        hint = "give --yes to agree, or --dry-run to see more; nothing was changed"
        raise UsageError(f"table {options.table}: --purge deletes {what}; {hint}")
    sys.stderr.write("\n".join([*_of_purge(planned, f"{options.table}: will delete"), "Go on? [y/N] "]))
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise SiglaneError(f"table {options.table}: not purged, as you did not agree; nothing was changed")


def _as_dict(purged: Purged) -> dict[str, Any]:
    return {
        "tags": [tag.name for tag in purged.tags],
        "versions": purged.versions,
        "bytes": purged.bytes,
        "outputs": _outputs(purged),
    }


def _outputs(purged: Purged | PurgePlan) -> list[str]:
    """The outputs of commands that made the tags, as far as the tags name them."""
    made = [record for tag in purged.tags for record in tag.made_by]
    return list(dict.fromkeys(f"{record['output']} on {record['host']}" for record in made))


def _lines(options: RemoveJob, named: Named | None, done: Removal, purged: Purged | None) -> Iterator[str]:
    text = f"{options.table}: {'would remove' if options.dry_run else 'removed'} {counted(done.removed, 'row')}"
    if named is not None:
        text += f"; {counted(done.already_removed, 'was', 'were')} already removed; "
        text += f"{done.not_found} of {len(named.values)} {options.chosen[0]} are not in the table"
    if options.chosen:
        yield text
    if purged is not None:
        yield from _of_purge(purged, f"{options.table}: {'would delete' if options.dry_run else 'deleted'}")
        if not options.dry_run:
            size = f"{purged.bytes / 1e6:.1f} MB were deleted"
            yield f"{options.table}: no file of the table holds a removed pair any more; {size}"


def _of_purge(purged: Purged | PurgePlan, verb: str) -> Iterator[str]:
    made = "" if isinstance(purged, PurgePlan) else ", with those that the purge itself made"
    yield f"{verb} {counted(purged.versions, 'older version')}{made}"
    if purged.tags:
        tags = counted(len(purged.tags), "tag whose version holds", "tags whose versions hold")
        yield f"{verb} {tags} removed pairs:"
        yield from map(as_line, purged.tags)
    if outputs := _outputs(purged):
        yield f"these outputs of earlier filters may hold removed pairs too, and stay: {', '.join(outputs)}"


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(RemoveJob, remove, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())

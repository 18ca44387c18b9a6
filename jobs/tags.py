"""List the tags of a table, which keep old versions and their files, and delete them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from jobs import command
from jobs.command import Result
from pipeline import table
from pipeline.table import Tag
from pipeline.wording import counted


class TagsJob(BaseModel):
    """Every option of `siglane tags`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str = Field(description="DATABASE/NAME of the table")
    delete: tuple[str, ...] = Field(
        (), description="delete the tag of this name", json_schema_extra={"repeatable": True}
    )


def tags(options: TagsJob) -> Result:
    uri = table.parse_writable(options.table)
    if options.delete:
        table.delete_tags(uri, options.delete)
    left = table.list_tags(table.open_table(uri))
    summary = {"table": options.table, "deleted": list(options.delete), "tags": [as_dict(tag) for tag in left]}
    lines = [f"{options.table}: deleted the tag {name}" for name in options.delete]
    lines.append(f"{options.table}: {counted(len(left), 'tag')}{':' if left else ''}")
    lines += [as_line(tag) for tag in left]
    return Result(summary, "\n".join(lines))


def as_dict(tag: Tag) -> dict[str, Any]:
    return {
        "name": tag.name,
        "version": tag.version,
        "created": tag.created and tag.created.isoformat(timespec="seconds"),
        "rows": tag.rows,
        "made_by": [dict(record) for record in tag.made_by],
        "shared": tag.is_shared,
        "bytes_alone": tag.bytes_alone,
    }


def as_line(tag: Tag) -> str:
    when = tag.created.isoformat(sep=" ", timespec="minutes").removesuffix("+00:00") if tag.created else "unknown date"
    shared = "; used by more than one filter" if tag.is_shared else ""
    alone = f"{tag.bytes_alone / 1e6:.1f} MB that only it holds"
    rows = counted(tag.rows, "row")
    return f"  {tag.name}  version {tag.version}, {when}, {rows}, {alone}; made by: {tag.maker}{shared}"


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(TagsJob, tags, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())

"""List the rows of a table that were rejected: where each comes from, why, and which sources have most."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, field_validator

from jobs import command
from jobs.aligned import aligned
from jobs.command import Result
from jobs.output import require_folder, whole_file
from pipeline import schema, table
from pipeline.sample import shown
from pipeline.upkeep.reject_file import FORMATS
from pipeline.upkeep.rejects import Rejects, read_rejects
from pipeline.wording import counted, noun

WORST_SOURCES = 10
"""sources to name, those with most rejects first"""


class RejectsJob(BaseModel):
    """Every option of `siglane rejects`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str = Field(description="DATABASE/NAME of the table; add @TAG or @VERSION to read a fixed version")
    reason: tuple[str, ...] = Field((), description="only rows that were rejected for one of these reasons")
    k: int = Field(20, ge=1, description="number of rows to list")
    output: Path | None = Field(None, description="file for all of them: NAME.csv, NAME.parquet or NAME.jsonl")

    @field_validator("output")
    @classmethod
    def _known_format(cls, output: Path | None) -> Path | None:
        if output is not None and output.suffix.lower() not in FORMATS:
            raise ValueError(f"the name must end in one of {', '.join(FORMATS)}")
        return output


def rejects(options: RejectsJob) -> Result:
    opened = table.open_table(table.parse(options.table))
    with _writing(options.output) as write:
        found = read_rejects(opened, options.reason, options.k, write)
    summary = {
        "table": options.table,
        "version": opened.version,
        "rejected": found.rows,
        "rejected_by_reason": dict(found.by_reason.most_common()),
        "sources": len(found.by_source),
        "worst_sources": dict(_worst(found.by_source)),
        "results": found.first,
        "output": options.output and str(options.output),
    }
    return Result(summary, "\n".join(_lines(options, found)))


@contextmanager
def _writing(output: Path | None) -> Iterator[Callable[[pa.Table], None] | None]:
    if output is None:
        yield None
        return
    require_folder(output)
    with whole_file(output) as partial, FORMATS[output.suffix.lower()](partial) as write:
        yield write


def _worst(by_source: Counter[str]) -> list[tuple[str, int]]:
    return sorted(by_source.items(), key=lambda item: (-item[1], item[0]))[:WORST_SOURCES]


def _lines(options: RejectsJob, found: Rejects) -> Iterator[str]:
    if not found.rows:
        asked = f" as {' or '.join(options.reason)}" if options.reason else ""
        yield f"{options.table}: no row was rejected{asked}"
    else:
        reasons = ", ".join(f"{rows} {shown(reason)}" for reason, rows in found.by_reason.most_common())
        rows = f"{counted(found.rows, 'row')} of {counted(len(found.by_source), 'source')}"
        yield f"{options.table}: {rows} {noun(found.rows, 'was', 'were')} rejected: {reasons}"
        if len(found.by_source) > 1 and max(found.by_source.values()) > 1:
            worst = ", ".join(f"{shown(source)} {rows}" for source, rows in _worst(found.by_source))
            yield f"most rejects: {worst}"
        yield ""
        yield from _as_table(found.first)
        if len(found.first) < found.rows:
            yield f"… and {found.rows - len(found.first)} more: -k lists more, --output FILE writes all"
    if options.output is not None:
        yield f"{options.output}: {counted(found.rows, 'row')}"


def _as_table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    names = [schema.SOURCE, schema.KEY, schema.STAGE, schema.REASON, "message"]
    return aligned([names, *([str(row[name] or "") for name in names] for row in rows)])


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(RejectsJob, rejects, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())

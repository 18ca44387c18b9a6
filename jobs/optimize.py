"""Keep a table in shape: bring its indexes up to date, merge small fragments, remove old versions."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from jobs import command, recorded
from jobs.command import Result
from jobs.index import as_dict, as_lines
from pipeline import table
from pipeline.indexing.optimize import optimize as bring_into_shape
from pipeline.wording import counted


class OptimizeJob(BaseModel):
    """Every option of `siglane optimize`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str = Field(description="DATABASE/NAME of the table")


@recorded.in_table("optimize")
def optimize(options: OptimizeJob) -> Result:
    uri = table.parse_writable(options.table)
    done = bring_into_shape(uri)
    summary = {
        "table": options.table,
        "fragments_before": done.fragments_before,
        "fragments": done.fragments,
        "indexes": [as_dict(each) for each in done.indexes],
        "bytes_removed": done.bytes_removed,
    }
    lines = [
        f"{options.table}: {counted(done.fragments_before, 'fragment')} before, {done.fragments} now; files of old "
        f"versions removed: {done.bytes_removed / 1e6:.1f} MB",
        *(f"{options.table}: {as_lines(each)}" for each in done.indexes),
    ]
    return Result(summary, "\n".join(lines))


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(OptimizeJob, optimize, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())

"""Mark rows whose image duplicates another row's: the same bytes, a similar look, or a similar meaning.

The column `duplicate_of` names that row. `siglane filter --where "duplicate_of IS NULL"` leaves duplicates out.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from operator import itemgetter

from jobs import command, progress, recorded
from jobs.command import Result
from pipeline.dedup import DedupOptions, dedup_table
from pipeline.wording import counted


@progress.shown()
@recorded.in_table("dedup", itemgetter("duplicates"))
def dedup(options: DedupOptions) -> Result:
    started = time.monotonic()
    found = dedup_table(options)
    seconds = time.monotonic() - started
    summary = {"table": options.table, "method": options.method, **asdict(found), "seconds": round(seconds, 3)}
    others = counted(found.groups, "other") + (f" in {options.against}" if options.against else "")
    hashed = f"; {counted(found.hashed, 'image')} hashed" if found.hashed else ""
    text = (
        f"{options.table}: {counted(found.rows, 'row')} compared, {found.duplicates} marked as duplicates of {others}; "
        f"{counted(found.marked_before, 'was', 'were')} marked before{hashed}; {seconds:.1f} s"
    )
    return Result(summary, text)


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(DedupOptions, dedup, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())

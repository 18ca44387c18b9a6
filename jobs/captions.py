"""Give captions to rows that were embedded without. Their images are not read again.

The captions come from the same input, now with caption files beside its images or with a column that is named. Running
the command again fills what the last run left.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence
from operator import itemgetter

from jobs import command, recorded
from jobs.command import Result
from pipeline import table
from pipeline.embedding import later_captions
from pipeline.embedding.later_captions import CaptionsOptions
from pipeline.wording import counted

log = logging.getLogger(__name__)


@recorded.in_table("captions", itemgetter("captioned"))
def captions(options: CaptionsOptions) -> Result:
    started = time.monotonic()
    uri = table.parse_writable(options.table)
    before, there = (table.open_table(uri).count(where) for where in (later_captions.WITHOUT, later_captions.WITH))
    for rows in later_captions.fill_captions(options):
        log.info("looked for captions of %s", counted(rows, "row"))
    left = table.open_table(uri).count(later_captions.WITHOUT)
    seconds = time.monotonic() - started
    summary = {
        "table": options.table,
        "captioned": before - left,
        "left": left,
        "unchanged": there,
        "seconds": round(seconds, 3),
    }
    text = f"{options.table}: {counted(before - left, 'row')} got captions, {counted(left, 'has', 'have')} none"
    if there:
        text += f"; {there} had captions before, which were not changed"
    text += f"; {seconds:.1f} s"
    return Result(summary, text)


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(CaptionsOptions, captions, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())

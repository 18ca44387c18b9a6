"""Import vectors made elsewhere into a table: from clip-retrieval, DataComp, or Parquet columns.

Running the same command again continues where the last run stopped. It does nothing when all vectors are imported.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence

from jobs import command, progress, recorded
from jobs.command import Result
from pipeline import schema
from pipeline.importing import ImportOptions, import_vectors
from pipeline.importing.run import Outcomes
from pipeline.wording import counted

log = logging.getLogger(__name__)


@progress.shown()
@recorded.in_table("import")
def bring_in(options: ImportOptions) -> Result:
    started = time.monotonic()

    def on_commit(landed: Outcomes) -> None:
        if landed:
            log.info("committed %s to %s", counted(landed.total(), "row"), options.table)

    found = import_vectors(options, on_commit)
    seconds = time.monotonic() - started
    read = found.outcomes.total()
    reasons = {str(reason): rows for (status, reason), rows in found.outcomes.items() if status == schema.REJECTED}
    success, rejected = found.outcomes[schema.SUCCESS, None], sum(reasons.values())
    assert read == success + rejected, f"rows of unknown status were committed: {found.outcomes}"
    summary = {
        "table": options.table,
        "read": read,
        "success": success,
        "rejected": rejected,
        "rejected_by_reason": reasons,
        "reject_examples": dict(found.reject_examples),
        "skipped": found.skipped,
        "seconds": round(seconds, 3),
        "rows_per_second": round(read / seconds, 3),
    }
    text = (
        f"{options.table}: read {read} = imported {success} + rejected {rejected}; "
        f"{counted(found.skipped, 'was', 'were')} already in the table; {seconds:.1f} s"
    )
    for reason, message in sorted(found.reject_examples.items()):
        text += f"\nrejected as {reason}, e.g. {message}"
    return Result(summary, text)


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(ImportOptions, bring_in, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())

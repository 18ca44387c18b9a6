"""Fill the columns cosine, logit and probability of the pairs that lack them."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from jobs import command
from jobs.command import Result
from pipeline import scoring, table

log = logging.getLogger(__name__)


class ScoreJob(BaseModel):
    """Every option of `siglane score`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str = Field(description="DATABASE/NAME of the table")


def score(options: ScoreJob) -> Result:
    started = time.monotonic()
    scored = 0
    for rows in scoring.score_table(table.parse_writable(options.table)):
        scored += rows
        log.info("committed the scores of %d rows, %d in this run", rows, scored)
    seconds = time.monotonic() - started
    summary = {"table": options.table, "scored": scored, "seconds": round(seconds, 3)}
    return Result(summary, f"{options.table}: scored {scored} rows in {seconds:.1f} s")


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(ScoreJob, score, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())

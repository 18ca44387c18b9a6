"""Fill the columns cosine, logit and probability, and others on request, of the pairs that lack them."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Sequence

from pydantic import BaseModel, ConfigDict, Field

from jobs import command
from jobs.command import Result
from pipeline import scoring, table
from pipeline.filters.signals import signals

log = logging.getLogger(__name__)


class ScoreJob(BaseModel):
    """Every option of `siglane score`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str = Field(description="DATABASE/NAME of the table")
    signal: tuple[str, ...] = Field((), description=f"further scores to fill in: {', '.join(signals())}")
    all: bool = Field(False, description="score rows anew that have a score already")


def score(options: ScoreJob) -> Result:
    started = time.monotonic()
    uri = table.parse_writable(options.table)
    scoring.require_signals(options.signal)
    scored = _committed(scoring.score_table(uri, options.all), "the scores")
    filled = {name: _committed(scoring.fill_signal(uri, name, options.all), name) for name in options.signal}
    seconds = time.monotonic() - started
    summary = {"table": options.table, "scored": scored, "signals": filled, "seconds": round(seconds, 3)}
    more = "".join(f", {name} of {rows}" for name, rows in filled.items())
    return Result(summary, f"{options.table}: scored {scored} rows{more} in {seconds:.1f} s")


def _committed(commits: Iterator[int], what: str) -> int:
    total = 0
    for rows in commits:
        total += rows
        log.info("committed %s of %d rows, %d in this run", what, rows, total)
    return total


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(ScoreJob, score, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())

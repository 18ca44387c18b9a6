"""Fill the columns cosine, logit and probability, and others on request, for pairs that lack them."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from jobs import command, progress, recorded
from jobs.command import Result
from pipeline import scoring, table
from pipeline.mismatch.estimate import Assumption
from pipeline.mismatch.q_values import BY_COSINE, SCORES, How, rows_without_estimate
from pipeline.scoring.signals import signals
from pipeline.table import RunFill
from pipeline.wording import counted, noun

log = logging.getLogger(__name__)

Q_VALUE = "q_value"


class ScoreJob(BaseModel):
    """Every option of `siglane score`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str = Field(description="DATABASE/NAME of the table")
    signal: tuple[str, ...] = Field(
        (),
        description=f"further scores to compute: {', '.join(signals())}; your own: FILE.py, FILE.py:NAME, or the name "
        "of one in an installed package",
    )
    target: str | None = Field(
        None, description="for normsim: DATABASE/NAME of the table whose images the pairs are compared with"
    )
    by: str = Field("cosine", description=f"for q_value: the score to estimate it by, {' or '.join(SCORES)}")
    per: str | None = Field(None, description="for q_value: column; each of its values has an estimate of its own")
    wrong_captions: Assumption = Field(
        "random",
        description="for q_value: how wrong captions come about: captions of random other images, of similar images, "
        "or any of both (a bound)",
    )
    all: bool = Field(False, description="score all rows, also those that have a score")
    address: str | None = Field(
        None, description="Ray cluster to run on (local: one on this machine); default: RAY_ADDRESS, else no cluster"
    )
    local: bool = Field(False, description="score in this process, without Ray, even if RAY_ADDRESS is set")

    @model_validator(mode="after")
    def _q_value_options(self) -> ScoreJob:
        if self.how != BY_COSINE and Q_VALUE not in self.signal:
            raise ValueError(f"--by, --per and --wrong-captions are only for --signal {Q_VALUE}: leave them out")
        return self

    @property
    def how(self) -> How:
        """What q-values are computed by."""
        return How(self.by, self.per, self.wrong_captions)

    @model_validator(mode="after")
    def _local_or_ray(self) -> ScoreJob:
        if self.local and self.address is not None:
            raise ValueError("--local runs without Ray: leave out --address")
        return self


@progress.shown()
@recorded.in_table("score", lambda summary: summary["scored"] + sum(summary["signals"].values()))
def score(options: ScoreJob) -> Result:
    started = time.monotonic()
    uri = table.parse_writable(options.table)
    scoring.choose(options.signal, options.target is not None)
    target = None if options.target is None else _target(options.target, uri)
    with _runner(options) as run:
        scored = _committed(scoring.score_table(uri, options.all, run), "the scores")
        filled = {
            name: _committed(scoring.fill_signal(uri, name, options.all, target, run, options.how), name)
            for name in options.signal
        }
    seconds = time.monotonic() - started
    summary: dict[str, Any] = {"table": options.table, "scored": scored, "signals": filled}
    summary |= {"target": None if target is None else target.record, "seconds": round(seconds, 3)}
    parts = [f"scored {counted(scored, 'row')}"] if scored or not filled else []
    if filled:
        parts.append("filled " + ", ".join(f"{name} of {counted(rows, 'row')}" for name, rows in filled.items()))
    text = f"{options.table}: {', '.join(parts)} in {seconds:.1f} s"
    if not scored and (why := table.lacks_captions(table.open_table(uri))):
        text += f"; {why}"
    unknown = rows_without_estimate(table.open_table(uri), options.how) if Q_VALUE in options.signal else 0
    if unknown:
        text += (
            f"; {counted(unknown, 'row has', 'rows have')} a {options.per} that had no estimate, so "
            f"{noun(unknown, 'its', 'their')} q_value is NaN; with --all, the estimate is made anew"
        )
    return Result(summary, text)


def _target(address: str, uri: table.TableUri) -> scoring.Target:
    target = scoring.read_target(table.parse(address), table.open_table(uri))
    log.info("target %s, version %d: %s", target.table, target.version, counted(len(target.vectors), "image"))
    return target


@contextmanager
def _runner(options: ScoreJob) -> Iterator[RunFill]:
    """The function that fills fragments: in this process, or on a cluster until the block ends."""
    if options.local or not (options.address or os.environ.get("RAY_ADDRESS")):
        yield table.one_by_one
        return
    from pipeline.on_ray import cluster, filling

    with cluster.connect(options.address):
        yield filling.run


def _committed(commits: Iterator[int], what: str) -> int:
    total = 0
    for rows in commits:
        total += rows
        log.info("committed %s of %s, %d in this run", what, counted(rows, "row"), total)
    return total


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(ScoreJob, score, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())

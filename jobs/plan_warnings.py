"""What a reader of a forecast must know before its figures."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.embedding.forecast import waits_for_source
from pipeline.embedding.trial import Trial
from pipeline.wording import counted

ENOUGH_ROWS = 32
"""fewer embedded rows are not a batch of most models; chosen, not measured"""
BUSY = 0.15
"""share of the CPUs' time that other processes took, from which on a forecast says so; chosen, not measured"""


def about(found: Trial, asked: int, max_reject_fraction: float) -> Iterator[str]:
    """A line for each thing. `asked`: the rows that were to be embedded."""
    if found.rejected > max_reject_fraction * found.rows:
        yield (
            f"the run would end early: {found.rejected} of the {found.rows} sampled rows are rejected; look at them "
            f"with `siglane embed --limit {found.rows}` and `siglane rejects`"
        )
    if not found.embedded:
        yield "no row was embedded, so there is no forecast"
        return
    if found.embedded < ENOUGH_ROWS:
        more = f"; give --rows {ENOUGH_ROWS} or more" if asked < ENOUGH_ROWS else ""
        yield f"only {counted(found.embedded, 'row was', 'rows were')} embedded, too few for a forecast{more}"
    if found.taken_by_others is not None and found.taken_by_others >= BUSY:
        yield (
            f"other processes took {found.taken_by_others:.0%} of the machine's CPU time meanwhile, so the figures are "
            "too low; plan again when it is idle"
        )
    if waits_for_source(found):
        yield (
            f"reading waited for the input {found.share_waited:.0%} of its time; what its store can give is not known, "
            "so more CPUs or machines may not make it faster, and no forecast promises that"
        )

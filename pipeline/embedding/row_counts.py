"""Compares the samples read with the rows staged and committed. A run that loses a row fails.

The same samples are counted in three places: by the readers when samples leave their files, by the driver when staged
rows arrive, and by the committer. If a source states how many samples it has, that number must also have been read,
minus those that are already in the table.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from pipeline.embedding.in_flight import Ended, InFlight
from pipeline.embedding.plan import EmbedPlan
from pipeline.errors import RowsLostError
from pipeline.sample import Chunk

log = logging.getLogger(__name__)

EXAMPLES = 3


def check(plan: EmbedPlan, in_flight: InFlight, accounted: int) -> None:
    """Checks the counts of a run that has completed its plan.

    Args:
        plan: the plan of the run.
        in_flight: the reports of the workers, and the count of staged rows.
        accounted: rows that this run committed, or dropped because another run had committed them.

    Raises:
        RowsLostError: two counts differ.
    """
    staged = in_flight.rows_staged
    if staged != accounted:
        raise RowsLostError(f"table {plan.uri}: {staged} rows were staged, but {accounted} were committed")
    ended = in_flight.ended(len(plan.chunks))
    if ended is None:
        log.warning("table %s: the number of samples read is not known; run `siglane verify` to check", plan.uri)
        return
    read = sum(chunk.samples for chunk in ended)
    if read != staged:
        raise RowsLostError(f"table {plan.uri}: {read} samples were read, but {staged} rows were staged")
    lacking = _lacking(plan.chunks, ended)
    if lacking:
        (path, (found, held)), *others = list(lacking.items())
        more = f"; {len(others)} more sources, e.g. {', '.join(list(lacking)[1 : EXAMPLES + 1])}" if others else ""
        raise RowsLostError(f"table {plan.uri}: {path} has {held} samples, but {found} were read{more}")


def _lacking(chunks: Sequence[Chunk], ended: Sequence[Ended]) -> dict[str, tuple[int, int]]:
    """The sources, by path, that were not read completely: (samples read or already in the table, samples it has)."""
    found, holds = Counter[str](), Counter[str]()
    for chunk in ended:
        for path, (rows, held) in chunk.open_counts.items():
            found[path] += rows
            holds[path] = max(holds[path], held)
    if holds:
        found.update({path: chunk.rows_done(path) for chunk in chunks for path in chunk.done if path in holds})
    return {path: (found[path], held) for path, held in holds.items() if found[path] < held}

"""Compares how many samples were read with how many rows were staged and committed: a run that loses one fails.

Three counts of the same samples are made in different places: by the readers as samples leave their files, by the
driver as staged rows arrive, and by the committer. And where a source says how many samples it holds, that many must
have been read, less those that the table holds already.
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
    """Checks the counts of a run that has done all of its plan.

    Args:
        accounted: rows that this run committed, or dropped because another run had committed them.

    Raises:
        RowsLostError: two counts differ.
    """
    staged = in_flight.rows_staged
    if staged != accounted:
        raise RowsLostError(f"table {plan.uri}: {staged} rows were staged, and {accounted} were committed")
    ended = in_flight.ended(len(plan.chunks))
    if ended is None:
        log.warning("table %s: how many samples were read is not known; run `siglane verify`", plan.uri)
        return
    read = sum(chunk.samples for chunk in ended)
    if read != staged:
        raise RowsLostError(f"table {plan.uri}: {read} samples were read, and {staged} rows were staged")
    lacking = _lacking(plan.chunks, ended)
    if lacking:
        (path, (found, held)), *others = list(lacking.items())
        more = f", and {len(others)} sources more, e.g. {', '.join(list(lacking)[1 : EXAMPLES + 1])}" if others else ""
        raise RowsLostError(f"table {plan.uri}: {path} holds {held} samples, and {found} were read{more}")


def _lacking(chunks: Sequence[Chunk], ended: Sequence[Ended]) -> dict[str, tuple[int, int]]:
    """The sources, by path, of which not all was read: (samples read or in the table before, samples it holds)."""
    found, holds = Counter[str](), Counter[str]()
    for chunk in ended:
        for path, (rows, held) in chunk.open_counts.items():
            found[path] += rows
            holds[path] = max(holds[path], held)
    if holds:
        found.update({path: chunk.rows_done(path) for chunk in chunks for path in chunk.done if path in holds})
    return {path: (found[path], held) for path, held in holds.items() if found[path] < held}

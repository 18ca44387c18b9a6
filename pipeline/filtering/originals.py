"""The original bytes of a table's rows, read once more from the sources that they came from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from pipeline import sources
from pipeline.errors import InputError
from pipeline.sample import Chunk, RowRanges, Sample
from pipeline.sources import SourceOptions

_END = 1 << 62


@dataclass(frozen=True)
class Rows:
    """Rows of a table by what the ledger calls them: row i is number `numbers[i]` of `sources[codes[i]]`."""

    sources: Sequence[str]
    codes: npt.NDArray[np.int32]
    numbers: npt.NDArray[np.int64]


def read(options: SourceOptions, rows: Rows) -> Iterator[tuple[int, Sample]]:
    """The samples of all these rows, as (which of the rows, sample), in the order of the input.

    Raises:
        InputError: the input does not hold a row, or not any more.
    """
    input_format, listing = sources.resolve(options)
    module = sources.formats()[input_format]
    by_source = _by_source(rows)
    found = 0
    for chunk in module.plan(listing, options):
        left = _only(chunk, by_source)
        for sample in module.read(left, options) if left.sources else ():
            numbers, places = by_source[sample.source.path]
            at = int(np.searchsorted(numbers, sample.row))
            if at == len(numbers) or numbers[at] != sample.row:
                continue
            found += 1
            yield int(places[at]), sample
    if found < len(rows.codes):
        raise InputError(
            f"input {listing.uri}: {len(rows.codes) - found} of the {len(rows.codes)} kept rows are not in it, of "
            f"sources like {rows.sources[0]!r}; give the --input and its options that the table was made with"
        )


_Places = dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.intp]]]
"""by source: the numbers of its rows, sorted, and which of the rows each is"""


def _by_source(rows: Rows) -> _Places:
    order = np.lexsort((rows.numbers, rows.codes))
    bounds = np.searchsorted(rows.codes[order], np.arange(len(rows.sources) + 1))
    parts = [order[start:end] for start, end in pairwise(bounds)]
    return {path: (rows.numbers[part], part) for path, part in zip(rows.sources, parts, strict=True)}


def _only(chunk: Chunk, by_source: _Places) -> Chunk:
    """The chunk with nothing left to read but these rows."""
    held = tuple(source for source in chunk.sources if source.path in by_source)
    return replace(chunk, sources=held, done={source.path: _others(by_source[source.path][0]) for source in held})


def _others(numbers: npt.NDArray[np.int64]) -> RowRanges:
    """All row numbers but these, which are sorted."""
    edges = [-1, *numbers.tolist(), _END]
    return tuple((before + 1, after) for before, after in pairwise(edges) if after > before + 1)

"""Reads the original images of a table's rows again, from their sources."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import schema, sources
from pipeline.errors import InputError
from pipeline.iteration import ahead, grouped, one
from pipeline.progress import current
from pipeline.sample import Chunk, Sample, all_but
from pipeline.sources import SourceOptions
from pipeline.table import ROW_ADDRESS, Table

_ROWS_AT_ONCE = 256
_BYTES_AT_ONCE = 16 << 20
"""limit for large images: fewer rows are then read at once"""


@dataclass(frozen=True)
class LedgerRows:
    """Rows of a table by source and number: row i is row `numbers[i]` of the source `sources[codes[i]]`."""

    sources: Sequence[str]
    codes: npt.NDArray[np.int32]
    numbers: npt.NDArray[np.int64]
    addresses: npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Original:
    row: int
    """index among the requested rows"""
    image: bytes | None
    """None if the row was embedded without an image"""
    record: dict[str, Any]
    """the requested columns of the row"""


def columns(table: Table) -> pa.Schema:
    """The columns that `collect` needs."""
    kept = [table.schema.field(name) for name in (schema.SOURCE, schema.SOURCE_ROW)]
    return pa.schema([*kept, pa.field(ROW_ADDRESS, pa.uint64())])


def collect(batches: Iterable[pa.RecordBatch]) -> LedgerRows:
    sources: dict[str, int] = {}
    codes, numbers, addresses = list[Any](), list[Any](), list[Any]()
    for batch in batches:
        encoded = batch[schema.SOURCE].dictionary_encode()
        of_batch = [sources.setdefault(path, len(sources)) for path in encoded.dictionary.to_pylist()]
        codes.append(np.array(of_batch, np.int32)[encoded.indices.to_numpy()])
        numbers.append(batch[schema.SOURCE_ROW].to_numpy())
        addresses.append(batch[ROW_ADDRESS].to_numpy())
    joined = [
        np.concatenate([np.empty(0, dtype), *parts])
        for parts, dtype in ((codes, np.int32), (numbers, np.int64), (addresses, np.uint64))
    ]
    return LedgerRows(list(sources), *joined)


def with_records(
    table: Table, options: SourceOptions, rows: LedgerRows, names: Sequence[str]
) -> Iterator[Sequence[Original]]:
    """The rows with their images, a few at a time, in the order of the input. `names`: the columns of the records.

    Each image is checked against the sha256 of the embedded image, while the next images are read.

    Raises:
        InputError: a row is not in the input, or its image has changed.
    """
    positions = table.positions(rows.addresses)
    wanted = list(dict.fromkeys([*names, schema.IMAGE_SHA256]))
    current.begin("reading images", len(rows.codes))
    read = grouped(_read(options, rows), (_ROWS_AT_ONCE, one), (_BYTES_AT_ONCE, lambda item: len(item[1].image or b"")))
    for some in ahead(read):
        records = table.take([int(positions[row]) for row, _ in some], wanted).to_pylist()
        yield [
            Original(row, _image(sample, record[schema.IMAGE_SHA256]), {name: record[name] for name in names})
            for (row, sample), record in zip(some, records, strict=True)
        ]
        current.add(len(some))


def _image(sample: Sample, known: str | None) -> bytes | None:
    name = f"input {sample.source.path} row {sample.row}"
    if sample.image is None and known is not None:
        raise InputError(f"{name}: its image can no longer be read; restore the input that the table was made from")
    if sample.image is not None and known is not None and hashlib.sha256(sample.image).hexdigest() != known:
        raise InputError(
            f"{name}: its image is not the embedded one, so the file has changed since; restore the old file, or embed "
            "the source again"
        )
    return sample.image


def _read(options: SourceOptions, rows: LedgerRows) -> Iterator[tuple[int, Sample]]:
    """The samples of all these rows, as (index of the row, sample), in the order of the input."""
    input_format, listing, chunks = sources.planned(options)
    module = sources.formats()[input_format]
    by_source = _by_source(rows)
    found = np.zeros(len(rows.codes), bool)
    for chunk in _only(chunks, by_source):
        for sample in module.read(chunk, options):
            numbers, places = by_source[sample.source.path]
            at = int(np.searchsorted(numbers, sample.row))
            if at == len(numbers) or numbers[at] != sample.row:
                continue
            found[int(places[at])] = True
            yield int(places[at]), sample
    if not found.all():
        missing = np.flatnonzero(~found)
        example = rows.sources[rows.codes[missing[0]]]
        raise InputError(
            f"input {listing.uri}: {len(missing)} of the {len(found)} rows are not in it, e.g. {example!r} row "
            f"{rows.numbers[missing[0]]}; give the --input and its options that the table was made with"
        )


_Places = dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.intp]]]
"""by source: the sorted numbers of its rows, and the index of each among the requested rows"""


def _by_source(rows: LedgerRows) -> _Places:
    order = np.lexsort((rows.numbers, rows.codes))
    bounds = np.searchsorted(rows.codes[order], np.arange(len(rows.sources) + 1))
    parts = [order[start:end] for start, end in pairwise(bounds)]
    return {path: (rows.numbers[part], part) for path, part in zip(rows.sources, parts, strict=True)}


def only(chunks: Iterable[Chunk], rows: LedgerRows) -> Iterator[Chunk]:
    """The chunks that contain some of these rows. All other rows of the chunks are skipped."""
    return _only(chunks, _by_source(rows))


def _only(chunks: Iterable[Chunk], by_source: _Places) -> Iterator[Chunk]:
    for chunk in chunks:
        held = tuple(source for source in chunk.sources if source.path in by_source)
        if held:
            yield replace(
                chunk, sources=held, done={source.path: all_but(by_source[source.path][0].tolist()) for source in held}
            )

"""A Lance dataset with the same columns as a Parquet input: `--input photos.lance`.

Each fragment is one source, named by its first data file, and one chunk. `source_row` is the row's offset in the
fragment, plus `ELEMENT` for each further element of a list. Appended rows are therefore new sources, and deleting rows
does not change the numbers of others. With lists, only the last row has `source_rows`, because the samples are counted
while they are read.

A fragment has changed if the columns that are read are stored in other files than before. Compaction writes rows into
new fragments, which are new sources. So compact a dataset before the first run or after the last one, not between runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import lance
import pyarrow as pa

from pipeline.errors import InputError, SiglaneError
from pipeline.fileformats.row_address import PLACES_PER_FRAGMENT, ROW_ADDRESS, places_of
from pipeline.sample import Chunk, Sample, Source
from pipeline.sources import SourceOptions, columns, fetch, records
from pipeline.sources.columns import Columns
from pipeline.storage import File, Listing, lance_store

CONTENT: frozenset[str] = frozenset()
"""a Lance dataset is recognised by the layout of its folder"""
TELLS_ROWS_AT_ONCE = False
MANIFESTS = "_versions/"
ROWS_PER_READ = 256
ELEMENT = PLACES_PER_FRAGMENT
"""the distance between the `source_row` of a list's elements, so large that they never equal those of other rows"""


def claims(listing: Listing) -> Sequence[File]:
    return [file for file in listing.files if file.path.startswith(MANIFESTS) and file.path.endswith(".manifest")]


def plan(listing: Listing, options: SourceOptions) -> Sequence[Chunk]:
    manifests = claims(listing)
    if not manifests:
        raise InputError(f"input {listing.uri}: not a Lance dataset; give its folder, NAME.lance, with --input")
    root = manifests[0].uri.removesuffix(f"/{manifests[0].path}")
    dataset = _open(root)
    chosen = columns.choose(Source(".", root, "", 0), dataset.schema, options.wanted())
    taken = columns.taken(dataset.schema, chosen)
    kept = columns.kept_schema(dataset.schema, chosen)
    fields = _field_ids(dataset, chosen)
    fragments = [fragment.metadata for fragment in dataset.get_fragments()]
    return [
        Chunk(
            (replace(_source(root, fragment, fields), samples=None if chosen.many else fragment.num_rows),),
            taken=taken,
            kept=kept,
            gaps=fragment.num_deletions > 0 or chosen.many is not None,
        )
        for fragment in fragments
    ]


def kept_columns(chunks: Sequence[Chunk], _options: SourceOptions) -> pa.Schema:
    return chunks[0].kept if chunks else pa.schema([])


def read(chunk: Chunk, options: SourceOptions) -> Iterator[Sample]:
    (source,) = chunk.sources
    root, _, _ = source.uri.rpartition("/data/")
    dataset = _open(root)
    chosen = columns.choose(source, dataset.schema, options.wanted())
    chosen = chosen if chunk.with_images else chosen.without_images()
    fragment = next((f for f in dataset.get_fragments() if source.uri.endswith(_path(f.metadata))), None)
    if fragment is None:
        raise InputError(
            f"{source.path}: no longer part of {root}, which was compacted or overwritten during the run; run again"
        )
    pairs = _Reader(source, chunk, chosen, None if chosen.many else fragment.count_rows()).samples(fragment)
    if chosen.many:
        pairs = columns.counted(pairs)
    left = ((sample, uri) for sample, uri in pairs if not chunk.is_done(source.path, sample.row))
    if chunk.with_images:
        yield from fetch.fetched(left, options.allow_uri)
    else:
        yield from (sample for sample, _ in left)


@dataclass(frozen=True)
class _Reader:
    source: Source
    chunk: Chunk
    columns: Columns
    rows: int | None
    """samples in the fragment, if known before reading"""

    def samples(self, fragment: Any) -> Iterator[tuple[Sample, str | None]]:
        """(sample, the URI of its image if it has one) of each row."""
        only_places = not (self.chunk.with_images or self.chunk.with_captions or self.columns.many)
        read = [] if only_places else self.columns.read()
        scanner = fragment.scanner(columns=read, with_row_address=True, batch_size=ROWS_PER_READ)
        for batch in self._batches(scanner):
            names = [name for name in batch.schema.names if name != ROW_ADDRESS]
            places = places_of(batch[ROW_ADDRESS].to_numpy()).tolist()
            if only_places:
                yield from ((Sample(self.source, place, self.rows, str(place), None, None), None) for place in places)
                continue
            for place, record in zip(places, columns.rows(batch, names, self.columns.image), strict=True):
                yield from self._of(place, record)

    def _batches(self, scanner: Any) -> Iterator[pa.RecordBatch]:
        """The batches of a scan.

        Raises:
            InputError: the fragment is damaged. Lance returns no row of a page that has a text that is not UTF-8.
            StorageError: the store failed.
        """
        try:
            yield from scanner.to_batches()
        except (pa.ArrowException, OSError, ValueError) as error:
            message = f"{self.source.path}: {str(error).splitlines()[0]}"
            if "corrupt" in message or "utf-8" in message:
                raise InputError(f"{message}; fix the dataset, or leave out the column") from error
            raise lance_store.store_failed(self.source.path, error) from error

    def _of(self, place: int, record: dict[str, Any]) -> Iterator[tuple[Sample, str | None]]:
        kept = ((field, record[field.name]) for field in self.chunk.kept)
        escaped = {f.name: records.escaped(v) if pa.types.is_string(f.type) else v for f, v in kept}
        for unit in columns.units(record, self.columns, f"{self.source.path} row {place}"):
            row = place + unit.index * ELEMENT
            sample = columns.sample(self.source, (row, self.rows, str(place)), record, unit, self.columns)
            yield replace(sample, kept=escaped), unit.uri


def _open(root: str) -> Any:
    try:
        return lance.dataset(root, storage_options=lance_store.storage_options(root))
    except (OSError, ValueError) as error:
        raise _unreadable(root, error) from error


def _unreadable(uri: str, error: Exception) -> SiglaneError:
    if lance_store.is_store_failure(error):
        return lance_store.store_failed(uri, error)
    return InputError(f"{uri}: not readable as a Lance dataset: {lance_store.first_sentence(error)}")


def _source(root: str, metadata: Any, fields: frozenset[int]) -> Source:
    files = [file.path for file in metadata.files if fields.intersection(file.fields)]
    size = sum(file.file_size_bytes or 0 for file in metadata.files if file.path in files)
    return Source(_path(metadata), f"{root}/{_path(metadata)}", "+".join(sorted(files)), size)


def _path(metadata: Any) -> str:
    return f"data/{metadata.files[0].path}"


def _field_ids(dataset: Any, chosen: Columns) -> frozenset[int]:
    """The field ids, as used in data files, of the columns that are read."""
    by_name = {field.name(): field for field in dataset.lance_schema.fields()}
    found: set[int] = set()
    waiting = [by_name[name] for name in chosen.read()]
    while waiting:
        field = waiting.pop()
        found.add(field.id())
        waiting += field.children()
    return frozenset(found)

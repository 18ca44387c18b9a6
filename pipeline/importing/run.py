"""Runs an import. It is resumable and exactly-once, because it uses the committer of embedding runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import encoder, schema, storage, table
from pipeline.errors import InputError, RowsLostError, UsageError
from pipeline.importing import parts
from pipeline.importing.image_ids import ImageIds, image_ids
from pipeline.importing.options import ImportOptions
from pipeline.importing.parts import Part, Vectors
from pipeline.importing.table_rows import columns_of_rows, table_rows
from pipeline.iteration import grouped
from pipeline.progress import current
from pipeline.schema import UNKNOWN_MODEL, Identity
from pipeline.sources import columns
from pipeline.sources.records import DEFAULT_KEPT
from pipeline.table import Committer, Staged, Table

ROWS_PER_COMMIT = 1 << 18

Outcomes = Counter[tuple[str, str | None]]


@dataclass(frozen=True)
class Imported:
    outcomes: Outcomes
    """rows by (status, reason)"""
    skipped: int
    """rows of this input that were in the table already"""
    reject_examples: Mapping[str, str] = field(default_factory=dict)
    """the message of one rejected row for each reason"""


def import_vectors(options: ImportOptions, on_commit: Callable[[Outcomes], None]) -> Imported:
    """Imports vectors into a table. Continues where an earlier run stopped.

    Raises:
        UsageError: the table cannot be written, its store does not make commits safe, or a named column is missing.
        InputError: files of a part are missing, differ in length, or have changed since.
        TableError: the table has ids of images and this import has none, or the other way round.
        IdentityError: another model made the table's vectors.
        RowsLostError: rows of the input are missing in the table.
    """
    uri = table.parse_writable(options.table)
    listing = storage.list_files(options.input)
    found = parts.find(listing, options.layout, options.image_vector_col, options.text_vector_col)
    table.require_writable(uri)
    existing = table.open_if_exists(uri)
    ids = image_ids(options, found, existing)
    kept = pa.schema([*_kept(found[0], options), *([] if ids is None else [schema.IMAGE_IDENTITY_FIELD])])
    wanted = schema.table_schema(_identity(options, found[0]), kept, options.vector_dtype)
    if existing is not None:
        table.require_same(existing, wanted)
    left, skipped = _left(found, existing)
    total: Outcomes = Counter()
    examples: dict[str, str] = {}
    if not left:
        return Imported(total, skipped)
    held = sum(map(_rows_in, found))
    current.begin("importing", max(0, held - skipped))
    committer = Committer(uri, existing.schema if existing else wanted, existing)
    with table.at_work(uri, f"import of {listing.uri}") as lease:
        batches = _batches(left, existing, options, ids, existing.schema if existing else wanted)
        staged = _counted(table.stage(uri, batch) for batch in batches)
        for group in grouped(staged, (ROWS_PER_COMMIT, lambda item: item.rows)):
            total += (landed := committer.commit(group))
            for item in group:
                examples.update({**item.reject_examples, **examples})
            on_commit(landed)
            lease.keep()
            committer.merge_fragments()
        committer.merge_fragments(run_is_over=True)
    accounted = skipped + total.total() + committer.dropped
    if accounted != held:
        raise RowsLostError(f"table {uri}: the input has {held} rows, but {accounted} are in the table")
    return Imported(total, skipped, examples)


def _batches(
    left: list[Part], existing: Table | None, options: ImportOptions, ids: ImageIds | None, wanted: pa.Schema
) -> Iterator[pa.Table]:
    done = table.done_rows(existing, [part.rows.path for part in left], {}) if existing is not None else {}
    dimension = wanted.field(schema.IMAGE_VECTOR).type.list_size
    names = columns_of_rows(options, ids)
    for part in left:
        start, total = 0, _rows_in(part)
        for batch, image, text in parts.read(part, names):
            _require_dimension(part, image, text, dimension)
            rows = table_rows(part, start, total, batch, (image, text), options, ids, wanted)
            is_new = np.ones(len(batch), bool)
            for begin, stop in done.get(part.rows.path, ()):
                is_new[max(0, begin - start) : max(0, stop - start)] = False
            start += len(batch)
            if is_new.any():
                yield rows.filter(pa.array(is_new))


def _counted(staged: Iterator[Staged]) -> Iterator[Staged]:
    for item in staged:
        current.add(item.rows)
        yield item


def _left(found: list[Part], existing: Table | None) -> tuple[list[Part], int]:
    """(the parts that are not complete in the table, the number of this input's rows in the table)."""
    ledger = {} if existing is None else table.read_ledger(existing)
    for part in found:
        entry = ledger.get(part.rows.path)
        if entry is not None and entry.versions != {part.version}:
            raise InputError(
                f"{part.rows.path}: this file or its vectors have changed since they were imported; restore the old "
                "files, or import into another --table"
            )
    known = [ledger[part.rows.path] for part in found if part.rows.path in ledger]
    left = [part for part in found if part.rows.path not in ledger or not ledger[part.rows.path].is_complete]
    return left, sum(entry.rows for entry in known)


def _identity(options: ImportOptions, first: Part) -> Identity:
    if options.model is not None:
        return encoder.identify(encoder.absolute(options.model), "float32")
    assert options.logit_scale is not None
    assert options.logit_bias is not None
    dimension = _dimension(first)
    stated = f"{UNKNOWN_MODEL}, exp(t) {options.logit_scale}, b {options.logit_bias}"
    scale, bias = options.logit_scale, options.logit_bias
    return Identity(stated, UNKNOWN_MODEL, None, "float32", dimension, UNKNOWN_MODEL, scale, bias)


def _dimension(first: Part) -> int:
    for _, image, _ in parts.read(first, ()):
        if image.shape[1]:
            return int(image.shape[1])
    raise InputError(f"{first.rows.path}: the first file has no vector; put a file with vectors first")


def _require_dimension(part: Part, image: Vectors, text: Vectors | None, dimension: int) -> None:
    for vectors in (image, text):
        if vectors is not None and vectors.shape[1] not in (0, dimension):
            raise InputError(
                f"{part.rows.path}: its vectors have {vectors.shape[1]} numbers, but those of the table {dimension}; "
                "import them into another --table"
            )


def _rows_in(part: Part) -> int:
    with parts.reading(part.rows), storage.open_file(part.rows.uri) as file:
        return int(pq.read_metadata(file).num_rows)


def _kept(first: Part, options: ImportOptions) -> pa.Schema:
    with parts.reading(first.rows), storage.open_file(first.rows.uri) as file:
        found = pq.read_schema(file)
    names = [name for name in options.keep_cols if name in found.names]
    if unknown := [name for name in options.keep_cols if name not in found.names and name not in DEFAULT_KEPT]:
        raise UsageError(f"keep_cols: no column {unknown[0]!r} in {first.rows.path}; it has {', '.join(found.names)}")
    return pa.schema([pa.field(schema.kept_name(name), columns.stored(found.field(name).type)) for name in names])

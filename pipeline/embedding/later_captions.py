"""Gives captions to rows that were embedded without: reads the input's texts, not its images, and embeds them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from pipeline import encoder, schema, sources, table
from pipeline.errors import InputError, UsageError
from pipeline.resume.copies import Read
from pipeline.sample import Chunk, Sample, all_but
from pipeline.sources import InputOptions, SourceOptions
from pipeline.stages.embed import Embed, EmbedSettings, EncoderOptions
from pipeline.table import Table
from pipeline.vectors import to_column

WITHOUT = f"{table.EMBEDDED} AND {schema.CAPTION} IS NULL AND {schema.TEXT_VECTOR} IS NULL"
WITH = f"{table.EMBEDDED} AND {schema.CAPTION} IS NOT NULL"
_READ = (schema.SOURCE, schema.SOURCE_ROW, schema.KEY, schema.SOURCE_VERSION, schema.SOURCE_ROWS)


class CaptionsOptions(InputOptions):
    """The options of `siglane captions`."""

    table: str = Field(description="DATABASE/NAME of the table")
    model: str | None = Field(None, description="the table's model, if its folder has moved; default: as in the table")
    batch_size: int = Field(64, ge=1, description="texts per batch on the device")


def rows_without(of: Table, paths: Collection[str]) -> Counter[str]:
    """How many rows of each of these sources were embedded without a caption."""
    if not of.any(WITHOUT):
        return Counter()
    found = (path for batch in of.scan([schema.SOURCE], WITHOUT) for path in batch[schema.SOURCE].to_pylist())
    return Counter(path for path in found if path in paths)


def fill_captions(options: CaptionsOptions) -> Iterator[int]:
    """Fills the caption and text vector of rows that lack both. Yields the number of rows of each commit.

    A row of which the input has no caption, or none that can be read, stays as it is. A row whose image has several
    captions gets the first; the next run of `siglane embed` adds the others.

    Raises:
        UsageError: the input has no captions.
        InputError: a source has changed since its rows were embedded, or its rows are numbered by their captions.
        IdentityError: the model is not the one that made the table.
    """
    uri = table.parse_writable(options.table)
    source = SourceOptions.part_of(options)
    input_format, listing, chunks = sources.planned(source)
    if not any(chunk.captioned for chunk in chunks):
        raise UsageError(f"input {listing.uri}: has no captions to add; name a column of texts with --caption-col")
    existing = table.open_table(uri)
    by_path = _by_path(chunks)
    _require_unchanged(existing, by_path)
    read = partial(sources.formats()[input_format].read, options=source)
    texts = _Texts(_embedder(existing, options), existing.schema.field(schema.TEXT_VECTOR).type)
    return table.fill_columns(uri, f"captions of {listing.uri}", _READ, WITHOUT, _Captions(by_path, read, texts))


def _embedder(existing: Table, options: CaptionsOptions) -> Embed:
    import torch

    identity = existing.identity
    model = encoder.absolute(options.model or identity.model)
    chosen = {"model": model, "precision": identity.precision, "batch_size": options.batch_size}
    settings = EmbedSettings(EncoderOptions.model_validate(chosen), identity, existing.schema)
    return Embed(settings, "cuda" if torch.cuda.is_available() else "cpu")


@dataclass(frozen=True)
class _Texts:
    embed: Embed
    kind: pa.DataType

    def column(self, captions: Sequence[str | None]) -> pa.Array:
        vectors = self.embed.text_vectors(list(captions))
        return to_column(vectors, np.isnan(vectors).any(axis=1), self.kind)


@dataclass(frozen=True)
class _Captions:
    """The new values of a batch of rows."""

    chunks: Mapping[str, Sequence[Chunk]]
    """those with the rows of a source, by its path"""
    read: Read
    texts: _Texts

    def __call__(self, batch: pa.RecordBatch) -> dict[str, pa.Array]:
        rows = batch.select(list(_READ)).to_pylist()
        found = self._samples([(row[schema.SOURCE], row[schema.SOURCE_ROW]) for row in rows])
        samples = [found.get((row[schema.SOURCE], row[schema.SOURCE_ROW])) for row in rows]
        captions = [None if sample is None else _caption(sample) for sample in samples]
        for row, sample in zip(rows, samples, strict=True):
            if sample is not None:
                _require_same(row, sample)
                row[schema.SOURCE_VERSION] = sample.source.version
                # None means that the next run of `embed` reads the source again, and finds further captions
                row[schema.SOURCE_ROWS] = sample.rows
        return {
            schema.CAPTION: pa.array(captions, pa.string()),
            schema.TEXT_VECTOR: self.texts.column(captions),
            schema.SOURCE_VERSION: pa.array([row[schema.SOURCE_VERSION] for row in rows], pa.string()),
            schema.SOURCE_ROWS: pa.array([row[schema.SOURCE_ROWS] for row in rows], pa.int64()),
        }

    def _samples(self, wanted: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Sample]:
        rows_of: dict[str, list[int]] = defaultdict(list)
        for path, row in wanted:
            rows_of[path].append(row)
        found = {}
        for path, rows in rows_of.items():
            for chunk in self.chunks.get(path, ()):
                for sample in self.read(replace(chunk, done={path: all_but(sorted(rows))})):
                    found[path, sample.row] = sample
        return found


def _require_same(row: Mapping[str, Any], sample: Sample) -> None:
    """Checks that a row is this sample. With several captions of an image, the rows after it have other numbers.

    Raises:
        InputError: it is another one.
    """
    if row[schema.KEY] != sample.key:
        raise InputError(
            f"{sample.source.path} row {sample.row}: is {row[schema.KEY]!r} in the table, but {sample.key!r} with "
            "captions, because images here have several; embed this input with its captions into another --table"
        )


def _caption(sample: Sample) -> str | None:
    return sample.caption if sample.caption and sample.caption.strip() else None


def _by_path(chunks: Sequence[Chunk]) -> dict[str, list[Chunk]]:
    """Chunks of one source each, which read no images."""
    by_path: dict[str, list[Chunk]] = defaultdict(list)
    for chunk in chunks:
        for source in chunk.sources:
            by_path[source.path].append(replace(chunk, sources=(source,), with_images=False, kept=pa.schema([])))
    return by_path


def _require_unchanged(existing: Table, chunks: Mapping[str, Sequence[Chunk]]) -> None:
    for path, entry in table.read_ledger(existing).items():
        source = chunks[path][0].sources[0] if path in chunks else None
        if source is not None and not all(
            version == source.version or source.has_grown_from(version) for version in entry.versions
        ):
            raise InputError(
                f"{path}: changed since it was embedded into {existing.uri}; run `siglane embed` first, with "
                "--replace-changed if its content is another"
            )

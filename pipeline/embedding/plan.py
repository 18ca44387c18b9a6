"""Plans an embedding run before its first task: checks the options early, and lists the input without reading it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import pyarrow as pa
from pydantic import Field, model_validator

import siglip_core
from pipeline import encoder, schema, sources, storage, table
from pipeline.embedding.later_captions import rows_without
from pipeline.errors import InputError, UsageError
from pipeline.resume import Again, first_rows, remaining
from pipeline.sample import Chunk, Taken
from pipeline.schema import VectorDtype
from pipeline.sources import SourceOptions, records
from pipeline.stages.decode import ReadAndDecode
from pipeline.stages.embed import EmbedSettings, EncoderOptions
from pipeline.stages.isolate import SAMPLE_GIGABYTES, SAMPLE_SECONDS
from pipeline.stages.thumbnail import LARGEST, SMALLEST
from pipeline.table import Replacing, Table, TableUri
from pipeline.wording import counted
from siglip_core.precision import Precision, PrecisionChoice
from siglip_core.preprocess import MAX_PIXELS
from siglip_core.variants import Decoding

MOST_NAMED = 12
"""fields or files in a message"""


class EmbedOptions(EncoderOptions, SourceOptions):
    """The options of an embedding run."""

    table: str = Field(description="DATABASE/NAME of the Lance table; it is created if missing")
    vector_dtype: VectorDtype = Field("float16", description="float16, or float32 for readers without half floats")
    commit_seconds: float = Field(5.0, ge=0, description="minimum seconds between commits of finished work")
    preprocessing: Decoding = Field(
        "exact",
        description="fast decodes large JPEGs to a smaller size first; its vectors need a table of their own",
    )
    max_pixels: int = Field(MAX_PIXELS, ge=1, description="an image with more pixels is rejected before decoding")
    limit: int | None = Field(
        None, ge=1, description="embed only the first rows of the input, until the table has this many of them"
    )
    sample_fraction: float = Field(1.0, gt=0, le=1, description="embed this share of the rows, always the same ones")
    dry_run: bool = Field(False, description="show what would be done, and write nothing")
    max_reject_fraction: float = Field(
        0.2,
        ge=0,
        le=1,
        description="end with exit code 3 if a larger share of the last 10,000 rows, or of all rows, is rejected",
    )
    sample_seconds: float = Field(
        SAMPLE_SECONDS, gt=0, description="an image that takes longer to decode, twice, is rejected"
    )
    sample_gigabytes: float = Field(
        SAMPLE_GIGABYTES,
        gt=0,
        description="an image or Parquet row group that needs more memory to read and decode is rejected",
    )
    image_statistics: bool = Field(
        False,
        description="also compute sharpness, brightness, contrast, entropy and border of images; a table that has "
        "them keeps getting them",
    )
    thumbnail_px: int | None = Field(
        None,
        ge=SMALLEST,
        le=LARGEST,
        description="also store a small JPEG of each image, whose longest side has so many pixels; a table that has "
        "them keeps getting them",
    )
    score: bool = Field(False, description="also compute cosine, logit and probability, as `siglane score` does later")
    replace_changed: bool = Field(False, description="embed changed sources again and replace their rows in the table")
    retry_rejected: tuple[str, ...] | None = Field(
        None,
        description="retry rejected rows: all of them, or those with the given reasons",
        json_schema_extra={"alone": []},
    )
    allow_missing: bool = Field(
        False, description="embed rows without image or caption, with a null vector, instead of rejecting them"
    )

    @model_validator(mode="after")
    def _parts_and_repeats_fit_together(self) -> EmbedOptions:
        if self.replace_changed and (self.limit is not None or self.sample_fraction < 1):
            raise ValueError("--replace-changed replaces complete sources: leave out --limit and --sample-fraction")
        if self.retry_rejected is not None and self.limit is not None:
            raise ValueError("--retry-rejected retries rows of the whole table: leave out --limit")
        return self


@dataclass(frozen=True)
class EmbedPlan:
    """A run that can start: its input exists, its model loads, and its table is missing or was made by this model."""

    uri: TableUri
    work: str
    """description of the run, shown to other runs that want to do the same"""
    settings: str
    """all resolved options as JSON, without secrets"""
    table: Table | None
    """the version of the table for which the run is planned"""
    taken: Taken | None
    """what images and captions are taken from; None if the input has no chunk"""
    without_captions: int
    """rows of this input that were embedded without a caption, although the input has captions"""
    chunks: Sequence[Chunk]
    """what is left to do"""
    skipped: int
    """rows of this input that are already in the table"""
    copied: Mapping[str, str]
    """new versions of moved or copied sources, by path, which are still to be recorded"""
    recorded: Table | None
    """the version of the table in which they are recorded"""
    replacing: Replacing
    """which rows of the table are replaced by rows of this run"""
    decode: ReadAndDecode
    sample_seconds: float
    sample_memory: int
    """bytes"""
    embed: EmbedSettings
    commit_seconds: float
    max_reject_fraction: float
    new_columns: pa.Schema = field(default_factory=lambda: pa.schema([]))
    """columns that the run adds to the table that is there"""


def plan(options: EmbedOptions, fast: Callable[[], Precision] = encoder.fast_here) -> EmbedPlan:
    """Plans a run.

    `fast` gives the precision that the encoders compute fast. It is asked only if `--precision auto` makes a new table.

    Raises:
        SiglaneError: the input, the model or the table does not match the options.
        siglip_core.errors.SiglipError: the model cannot be loaded.
    """
    uri = table.parse_writable(options.table)
    input_format, listing, chunks = sources.planned(options)
    _refuse_images_outside(chunks)
    _refuse_table_in_input(uri, options)
    taken = chunks[0].taken if chunks else None
    if taken is not None and options.captions:
        _require_captions(taken, listing.uri)
    if not (options.dry_run and "://" in uri.database):  # checking a remote store needs a write
        table.require_writable(uri)
    module = sources.formats()[input_format]
    kept = _renamed(module.kept_columns(chunks, options))

    existing = table.open_if_exists(uri)
    options = options.model_copy(update={"model": encoder.absolute(options.model)})
    precision = _precision(options.precision, existing, fast)
    identity = encoder.identify(options.model, precision, options.preprocessing)
    if identity.tokenizer is None and any(chunk.captioned for chunk in chunks):
        raise UsageError(
            f"model {options.model}: has no tokenizer, but the input {listing.uri} has captions; "
            "add the published spiece.model or tokenizer.json to its folder"
        )
    wanted = schema.table_schema(identity, kept, options.vector_dtype)
    if existing is not None:
        table.require_same(existing, wanted)
    statistics, px = _statistics(options, existing), _thumbnail_px(options, existing)
    of_images = pa.schema([*statistics, *([] if px is None else [schema.thumbnail_field(px)])])
    kept = pa.schema([*kept, *of_images])
    table_schema, new_columns = _with_columns(existing.schema if existing else wanted, of_images)
    again = Again(options.replace_changed, options.retry_rejected)
    read = partial(module.read, options=options)
    left_to_do = remaining(chunks, existing, read, again, options.sample_fraction)
    left = left_to_do.chunks
    without = _without_captions(existing, chunks, options)
    _require_none_in_part(without, left)
    if options.limit is not None:
        left = first_rows(left, max(0, options.limit - left_to_do.skipped), read)
    preprocessing = siglip_core.spec(options.model, preprocessing=options.preprocessing).preprocessing
    encoder_options = EncoderOptions.model_validate(options.model_dump(include=set(EncoderOptions.model_fields)))
    return EmbedPlan(
        uri=uri,
        work=f"embed of {listing.uri}",
        settings=json.dumps(storage.redact_options(options)),
        table=existing,
        taken=taken,
        without_captions=without.total(),
        chunks=left,
        skipped=left_to_do.skipped,
        copied=left_to_do.copied,
        recorded=None,
        replacing=Replacing(left_to_do.changed, options.retry_rejected is not None),
        decode=ReadAndDecode(
            input_format,
            SourceOptions.part_of(options),
            preprocessing,
            options.max_pixels,
            kept,
            options.allow_missing,
            len(statistics) > 0,
            px,
        ),
        sample_seconds=options.sample_seconds,
        sample_memory=int(options.sample_gigabytes * 2**30),
        embed=EmbedSettings(encoder_options, identity, table_schema, options.score),
        commit_seconds=options.commit_seconds,
        max_reject_fraction=options.max_reject_fraction,
        new_columns=pa.schema([]) if existing is None else new_columns,
    )


def _precision(choice: PrecisionChoice, existing: Table | None, fast: Callable[[], Precision]) -> Precision:
    if choice != "auto":
        return choice
    return fast() if existing is None else cast(Precision, existing.identity.precision)


def _statistics(options: EmbedOptions, existing: Table | None) -> pa.Schema:
    """The columns of image statistics that the run fills: those that were asked for, or that the table has."""
    fields = schema.IMAGE_STATISTICS_FIELDS
    there = existing is not None and all(column in existing.schema for column in fields)
    return pa.schema(fields if options.image_statistics or there else [])


def _thumbnail_px(options: EmbedOptions, existing: Table | None) -> int | None:
    """The size of the thumbnails that the run stores: as was asked for, or as the table has them.

    Raises:
        UsageError: the table has thumbnails of another size, or another column of that name.
    """
    if existing is None:
        return options.thumbnail_px
    there = schema.thumbnail_px(existing.schema)
    if options.thumbnail_px is None or options.thumbnail_px == there:
        return there
    if there is not None:
        raise UsageError(
            f"table {existing.uri}: its thumbnails were made with --thumbnail-px {there}, but this run has "
            f"--thumbnail-px {options.thumbnail_px}; leave it out to go on with {there}, or use another --table"
        )
    if schema.THUMBNAIL in existing.schema.names:
        raise UsageError(
            f"table {existing.uri}: its column {schema.THUMBNAIL!r} was kept from the input, so thumbnails cannot be "
            "stored under that name; run this without --thumbnail-px, or embed into another --table"
        )
    return options.thumbnail_px


def _with_columns(found: pa.Schema, wanted: pa.Schema) -> tuple[pa.Schema, pa.Schema]:
    """(the schema with these columns, those of them that it lacks)."""
    new = pa.schema([column for column in wanted if column.name not in found.names])
    return pa.schema([*found, *new], metadata=found.metadata), new


def _require_captions(taken: Taken, uri: str) -> None:
    """Refuses an input whose texts nobody takes: hours of work must not depend on the name of a column.

    Raises:
        UsageError: the input has no captions, but texts that may be some.
    """
    if taken.captions is not None or not (taken.texts or taken.stray):
        return
    if taken.texts:
        there = f"the text fields here are {records.listed(taken.texts, MOST_NAMED)}; name one with --caption-col"
    else:
        there = (
            f"{counted(len(taken.stray), 'caption file matches', 'caption files match')} no image, e.g. "
            f"{records.listed(taken.stray[:3])}; give each the name of its image, as dog.txt beside dog.jpg, or "
            "give a list of images alone as --input"
        )
    raise UsageError(f"input {uri}: no captions found, but {there}, or embed the images alone with --no-captions")


def _without_captions(existing: Table | None, chunks: Sequence[Chunk], options: EmbedOptions) -> Counter[str]:
    """How many rows of each source have no caption in the table, although the input has captions."""
    if existing is None or options.allow_missing or not any(chunk.captioned for chunk in chunks):
        return Counter()
    return rows_without(existing, {source.path for chunk in chunks for source in chunk.sources})


def _require_none_in_part(without: Counter[str], left: Sequence[Chunk]) -> None:
    """Refuses to go on with captions in a source that was begun without: its rows may have other numbers then.

    Raises:
        UsageError: there is such a source.
    """
    begun = (path for chunk in left for path in chunk.done if path in without)
    if (path := next(begun, None)) is not None:
        raise UsageError(
            f"{path}: {without[path]} of its rows were embedded without captions; run `siglane captions` with the same "
            "--table, --input and --caption-col first, or go on with --no-captions"
        )


def _renamed(kept: pa.Schema) -> pa.Schema:
    fields = [field.with_name(schema.kept_name(field.name)).with_nullable(True) for field in kept]
    names = [field.name for field in fields]
    for name in names:
        if names.count(name) > 1 or "." in name or name.startswith("_row"):
            raise UsageError(f"keep_cols: {name!r} cannot be a column name of the table, or is repeated; leave it out")
    return pa.schema(fields)


def _refuse_images_outside(chunks: Sequence[Chunk]) -> None:
    first = next(iter(chunks), None)
    if first is not None and first.outside is not None:
        raise InputError(
            f"{first.sources[0].path}: the images that it names first are all outside the input; allow them with "
            f"{first.outside}, or name another column with --url-col"
        )


def _refuse_table_in_input(uri: TableUri, options: EmbedOptions) -> None:
    for address in options.input:
        if storage.takes_in(address, uri.dataset):
            raise UsageError(
                f"table {uri}: is inside the input {storage.redact(address)}, so its files would be read as samples; "
                "choose another --table"
            )

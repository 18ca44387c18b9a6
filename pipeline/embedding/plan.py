"""Everything about an embedding run that can be known before its first task: refuses early, plans by listing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
from pydantic import Field, model_validator

import siglip_core
from pipeline import encoder, schema, sources, storage, table
from pipeline.errors import UsageError
from pipeline.resume import Again, first_rows, remaining
from pipeline.sample import Chunk
from pipeline.schema import VectorDtype
from pipeline.sources import SourceOptions
from pipeline.stages.decode import ReadAndDecode
from pipeline.stages.embed import EmbedSettings, EncoderOptions
from pipeline.stages.isolate import SAMPLE_GIGABYTES, SAMPLE_SECONDS
from pipeline.table import Replacing, Table, TableUri
from siglip_core.preprocess import MAX_PIXELS


class EmbedOptions(EncoderOptions, SourceOptions):
    """What a user says about an embedding run."""

    table: str = Field(description="DATABASE/NAME of the Lance table, made if it is not there")
    vector_dtype: VectorDtype = Field("float16", description="float16, or float32 for readers without half floats")
    commit_seconds: float = Field(5.0, ge=0, description="seconds between commits, as far as work is finished")
    max_pixels: int = Field(MAX_PIXELS, ge=1, description="an image of more pixels is rejected before it is decoded")
    limit: int | None = Field(
        None, ge=1, description="stop when the table holds so many rows of this input: its first, in the plan's order"
    )
    sample_fraction: float = Field(1.0, gt=0, le=1, description="embed this share of the rows, always the same ones")
    dry_run: bool = Field(False, description="say what would be done, and write nothing")
    max_reject_fraction: float = Field(
        0.2, ge=0, le=1, description="more rejected rows than this, of the last 10,000 or of all, end with exit code 3"
    )
    sample_seconds: float = Field(
        SAMPLE_SECONDS, gt=0, description="an image that takes longer to decode, twice, is rejected"
    )
    sample_gigabytes: float = Field(
        SAMPLE_GIGABYTES,
        gt=0,
        description="an image, or row group of Parquet, that takes more memory to read and decode is rejected",
    )
    score: bool = Field(
        False, description="fill in cosine, logit and probability at once, as `siglane score` does later"
    )
    replace_changed: bool = Field(False, description="embed changed sources anew, in place of their rows in the table")
    retry_rejected: tuple[str, ...] | None = Field(
        None,
        description="try rows again that were rejected, for any reason or for those given",
        json_schema_extra={"value": "optional"},
    )
    allow_missing: bool = Field(
        False, description="embed rows that lack the image or the caption, the other vector null, instead of rejecting"
    )

    @model_validator(mode="after")
    def _parts_and_repeats_fit_together(self) -> EmbedOptions:
        if self.replace_changed and (self.limit is not None or self.sample_fraction < 1):
            raise ValueError("--replace-changed replaces sources whole: leave out --limit and --sample-fraction")
        if self.retry_rejected is not None and self.limit is not None:
            raise ValueError("--retry-rejected tries rows of the whole table again: leave out --limit")
        return self


@dataclass(frozen=True)
class EmbedPlan:
    """A run that may start: its input is there, its model loads, and its table is absent or the same model's."""

    uri: TableUri
    work: str
    """what the run does, as others who want to do the same read it"""
    settings: str
    """every option as resolved, as JSON without secrets"""
    table: Table | None
    """the state that the run is planned around"""
    chunks: Sequence[Chunk]
    """what is left to do"""
    skipped: int
    """rows of this input that the table holds already"""
    copied: Mapping[str, str]
    """versions to record of sources that were moved or copied, by path"""
    recorded: Table | None
    """the state in which they are recorded"""
    replacing: Replacing
    """which rows of the table those of this run take the place of"""
    decode: ReadAndDecode
    sample_seconds: float
    sample_memory: int
    """bytes"""
    embed: EmbedSettings
    commit_seconds: float
    max_reject_fraction: float


def plan(options: EmbedOptions) -> EmbedPlan:
    """Plans a run, or says why it cannot be.

    Raises:
        SiglaneError: the input, the model or the table is not what the options say.
        siglip_core.errors.SiglipError: the model does not load.
    """
    uri = table.parse_writable(options.table)
    input_format, listing, chunks = sources.planned(options)
    _refuse_table_in_input(uri, options)
    if not (options.dry_run and "://" in uri.database):  # what is found out of a store takes a write
        table.require_writable(uri)
    module = sources.formats()[input_format]
    kept = _renamed(module.kept_columns(chunks, options))

    existing = table.open_if_exists(uri)
    options = options.model_copy(update={"model": encoder.absolute(options.model)})
    identity = encoder.identify(options.model, options.precision)
    if identity.tokenizer is None and any(chunk.captioned for chunk in chunks):
        raise UsageError(
            f"model {options.model}: has no tokenizer, and the input {listing.uri} has captions; "
            "put the published spiece.model or tokenizer.json into its folder"
        )
    wanted = schema.table_schema(identity, kept, options.vector_dtype)
    if existing is not None:
        table.require_same(existing, wanted)
    again = Again(options.replace_changed, options.retry_rejected)
    read = partial(module.read, options=options)
    left_to_do = remaining(chunks, existing, read, again, options.sample_fraction)
    left = left_to_do.chunks
    if options.limit is not None:
        left = first_rows(left, max(0, options.limit - left_to_do.skipped), read)
    preprocessing = siglip_core.spec(options.model).preprocessing
    encoder_options = EncoderOptions.model_validate(options.model_dump(include=set(EncoderOptions.model_fields)))
    return EmbedPlan(
        uri=uri,
        work=f"embed of {listing.uri}",
        settings=storage.redact(json.dumps(options.model_dump(mode="json"))),
        table=existing,
        chunks=left,
        skipped=left_to_do.skipped,
        copied=left_to_do.copied,
        recorded=None,
        replacing=Replacing(left_to_do.changed, options.retry_rejected is not None),
        decode=ReadAndDecode(
            input_format, SourceOptions.part_of(options), preprocessing, options.max_pixels, kept, options.allow_missing
        ),
        sample_seconds=options.sample_seconds,
        sample_memory=int(options.sample_gigabytes * 2**30),
        embed=EmbedSettings(encoder_options, identity, existing.schema if existing else wanted, options.score),
        commit_seconds=options.commit_seconds,
        max_reject_fraction=options.max_reject_fraction,
    )


def _renamed(kept: pa.Schema) -> pa.Schema:
    fields = [field.with_name(schema.kept_name(field.name)).with_nullable(True) for field in kept]
    names = [field.name for field in fields]
    for name in names:
        if names.count(name) > 1 or "." in name or name.startswith("_row"):
            raise UsageError(f"keep_cols: {name!r} cannot be a column of the table, or is there twice; leave it out")
    return pa.schema(fields)


def _refuse_table_in_input(uri: TableUri, options: EmbedOptions) -> None:
    for address in options.input:
        if storage.takes_in(address, uri.dataset):
            raise UsageError(
                f"table {uri}: lies inside the input {storage.redact(address)}, so its files would be samples; "
                "put it elsewhere"
            )

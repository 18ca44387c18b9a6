"""Everything about an embedding run that can be known before its first task: refuses early, plans by listing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
from pydantic import Field

import siglip_core
from pipeline import resume, schema, sources, table
from pipeline.errors import UsageError
from pipeline.sample import Chunk
from pipeline.schema import Identity, VectorDtype
from pipeline.sources import SourceOptions
from pipeline.stages import EmbedSettings, EncoderOptions, ReadAndDecode
from pipeline.table import Table, TableUri
from siglip_core.preprocess import MAX_PIXELS

LIBRARIES = ("siglane", "torch", "pillow", "pylance", "ray")


class EmbedOptions(EncoderOptions, SourceOptions):
    """What a user says about an embedding run."""

    table: str = Field(description="DATABASE/NAME of the Lance table, made if it is not there")
    vector_dtype: VectorDtype = Field("float16", description="float16, or float32 for readers without half floats")
    commit_seconds: float = Field(5.0, ge=0, description="time between commits: what a killed run loses at most")
    max_pixels: int = Field(MAX_PIXELS, ge=1, description="an image of more pixels is rejected before it is decoded")


@dataclass(frozen=True)
class EmbedPlan:
    """A run that may start: its input is there, its model loads, and its table is absent or the same model's."""

    uri: TableUri
    table: Table | None
    chunks: Sequence[Chunk]
    """what is left to do"""
    skipped: int
    """rows of this input that the table holds already"""
    decode: ReadAndDecode
    embed: EmbedSettings
    commit_seconds: float


def plan(options: EmbedOptions) -> EmbedPlan:
    """Plans a run, or says why it cannot be.

    Raises:
        SiglaneError: the input, the model or the table is not what the options say.
        siglip_core.errors.SiglipError: the model does not load.
    """
    uri = table.parse(options.table)
    if uri.state is not None:
        raise UsageError(f"table {uri}: a fixed state cannot be written to; leave out @{uri.state}")
    input_format, listing = sources.resolve(options)
    _refuse_table_in_input(uri, options)
    module = sources.formats()[input_format]
    chunks = module.plan(listing, options)
    kept = _renamed(module.kept_columns(chunks, options))

    existing = table.open_if_exists(uri)
    identity = identify(options)
    wanted = schema.table_schema(identity, kept, options.vector_dtype)
    if existing is not None:
        table.require_same(existing, wanted)
    left, skipped = resume.remaining(chunks, existing)
    preprocessing = siglip_core.spec(options.model).preprocessing
    return EmbedPlan(
        uri=uri,
        table=existing,
        chunks=left,
        skipped=skipped,
        decode=ReadAndDecode(input_format, options, preprocessing, options.max_pixels, kept),
        embed=EmbedSettings(options, identity.weights, existing.schema if existing else wanted),
        commit_seconds=options.commit_seconds,
    )


def identify(options: EncoderOptions) -> Identity:
    """What will make the vectors, read off the model itself."""
    model = siglip_core.load(options.model)
    return Identity(
        weights=model.weights_digest,
        preprocessing=model.spec.preprocessing.identity,
        tokenizer=model.tokenizer_digest,
        precision=options.precision,
        dimension=model.spec.embedding_dim,
        model=options.model,
        logit_scale=model.logit_scale,
        logit_bias=model.logit_bias,
        versions=tuple((name, version(name)) for name in LIBRARIES),
    )


def _renamed(kept: pa.Schema) -> pa.Schema:
    return pa.schema([field.with_name(schema.kept_name(field.name)).with_nullable(True) for field in kept])


def _refuse_table_in_input(uri: TableUri, options: EmbedOptions) -> None:
    root = options.input.rstrip("/") if "://" in options.input else Path(options.input).resolve().as_posix()
    if uri.dataset.startswith(f"{root}/"):
        raise UsageError(
            f"table {uri}: lies inside the input {options.input}, so its files would be samples; put it elsewhere"
        )

"""Reads the samples of an input. Each format is a module in `pipeline.sources.formats` with the functions of `Format`.

A new format is a new module there; no list of formats has to be changed. The other modules here are shared by formats.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pkgutil import iter_modules
from typing import Protocol, Self, cast

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pipeline import storage
from pipeline.errors import InputError, UsageError
from pipeline.fileformats import sniff
from pipeline.sample import Chunk, Sample
from pipeline.sources import formats as _formats
from pipeline.sources.columns import Wanted
from pipeline.storage import File, Listing

FOLDER = "folder"
"""the format of images without a list"""
FORMATS = sorted(module.name.removesuffix("_table") for module in iter_modules(_formats.__path__))


class InputOptions(BaseModel):
    """The options by which a command finds the images and captions of an input."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: tuple[str, ...] = Field(
        min_length=1,
        description="folder, file or file pattern: images, tars, Parquet, Arrow, a list of URIs, COCO, or Lance",
        json_schema_extra={"repeatable": True},
    )
    input_format: str | None = Field(
        None, description=f"one of {', '.join(FORMATS)}; default: recognised from the files"
    )
    image_col: str | None = Field(None, description="column of image bytes; default: image, image_bytes, …")
    url_col: str | None = Field(
        None, description="column of image URIs; default, if no column has bytes: url, file_name, …"
    )
    caption_col: str | None = Field(
        None,
        description="column or JSON field of captions, or the suffix of caption files, e.g. .caption; default: by name",
    )
    captions: bool = Field(True, description="--no-captions takes the images alone, whatever texts the input has")
    separator: str | None = Field(
        None, description="what separates the fields of a list, e.g. ';' or '\\t'; default: from the content"
    )
    allow_uri: tuple[str, ...] = Field(
        (),
        description="URI prefix from which images may be fetched, in addition to the input's own location",
        json_schema_extra={"repeatable": True},
    )

    source_prefix: str | None = Field(
        None,
        description="NAME: the table names the input's files NAME/path; for a second input with the same file names",
    )

    @field_validator("separator")
    @classmethod
    def _is_one_character(cls, separator: str | None) -> str | None:
        separator = "\t" if separator == "\\t" else separator
        if separator is not None and (len(separator) != 1 or separator in '"\r\n'):
            raise ValueError("give one character, or \\t for a tab")
        return separator

    @field_validator("source_prefix")
    @classmethod
    def _is_a_path(cls, prefix: str | None) -> str | None:
        if prefix is not None and not all(part not in ("", ".", "..") for part in prefix.split("/")):
            raise ValueError("give a name, or several joined by /, e.g. --source-prefix laion")
        return prefix

    @model_validator(mode="after")
    def _one_column_of_images(self) -> InputOptions:
        if self.image_col is not None and self.url_col is not None:
            raise ValueError("give one of --image-col (a column of bytes) and --url-col (a column of URIs)")
        return self

    @model_validator(mode="after")
    def _captions_or_none(self) -> InputOptions:
        if self.caption_col is not None and not self.captions:
            raise ValueError("give one of --caption-col and --no-captions")
        return self

    @field_validator("input", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value


class SourceOptions(InputOptions):
    """The options that describe the input, and what of it comes into a table."""

    uid_col: str | None = Field(
        None, description="column of uids; used where a value is 32 hex characters; default: uid, if present"
    )
    keep_cols: tuple[str, ...] | None = Field(
        None, description="columns to copy into the table; default: those of url,key,sha256 that are present"
    )

    @classmethod
    def part_of(cls, options: InputOptions) -> Self:
        """The input's part of a command's options, without the command's class, which other processes cannot import."""
        return cls.model_validate(options.model_dump(include=set(cls.model_fields)))

    def wanted(self) -> Wanted:
        """The columns that the user names."""
        return Wanted(self.image_col, self.url_col, self.caption_col, self.captions, self.uid_col, self.keep_cols)


class Format(Protocol):
    """What each module of `pipeline.sources.formats` provides."""

    CONTENT: frozenset[str]
    """the kinds of its files, in the terms of `pipeline.fileformats.sniff`"""
    TELLS_ROWS_AT_ONCE: bool
    """whether the first sample of any file says how many there are, and reading it costs little more than a footer"""

    def claims(self, listing: Listing) -> Sequence[File]:
        """The files that are sources of this format, judged by their names and the files beside them."""

    def plan(self, listing: Listing, options: SourceOptions) -> Sequence[Chunk]:
        """Divides a listing into chunks. Opens one file at most, to check that the options fit it.

        Raises:
            InputError: the options name something that the input does not have.
        """

    def kept_columns(self, chunks: Sequence[Chunk], options: SourceOptions, /) -> pa.Schema:
        """The columns of the source that are copied into the table, under the source's names."""

    def read(self, chunk: Chunk, options: SourceOptions) -> Iterator[Sample]:
        """The chunk's samples in the order of their source, without those for which `chunk.is_done` is true.

        If `chunk.with_images` is false, the samples are the same, but images are left out where that saves reading
        them. If `chunk.with_captions` is false too, everything else may be left out but the rows.
        """


def formats() -> dict[str, Format]:
    """Every format, by name."""
    names = [module.name for module in iter_modules(_formats.__path__)]
    return {name.removesuffix("_table"): cast(Format, import_module(f"{_formats.__name__}.{name}")) for name in names}


def resolve(options: SourceOptions) -> tuple[str, Listing]:
    """The input's format and files.

    Raises:
        UsageError: `input_format` is unknown.
        InputError: there are no files, or files of several formats.
    """
    known = formats()
    if options.input_format is not None and options.input_format not in known:
        raise UsageError(f"input_format {options.input_format!r}: unknown; one of {', '.join(sorted(known))}")
    listing = storage.list_files(options.input)
    if not listing.files:
        raise InputError(f"input {listing.uri}: the folder is empty; check --input")
    if options.input_format is not None:
        return options.input_format, listing
    claimed = [name for name, module in known.items() if module.claims(listing)]
    claimed = claimed or _by_content(listing.files[0], known)
    claimed = _lists_of_images(claimed, listing, options) or claimed
    if len(claimed) != 1:
        found = f"has files of format {' and '.join(claimed)}" if claimed else "has no files of a known format"
        example = listing.files[0]
        raise InputError(
            f"input {listing.uri}: {found}, e.g. {example.path}, which looks like {sniff.of_file(example.uri)}; "
            f"choose one with --input-format ({', '.join(sorted(known))}){_why_no_list(claimed, listing, options)}"
        )
    return claimed[0], listing


def planned(options: SourceOptions) -> tuple[str, Listing, Sequence[Chunk]]:
    """The input's format, its files, and the chunks to read, the sources named as the table names them.

    Raises:
        UsageError, InputError: as `resolve` and `Format.plan`.
    """
    name, listing = resolve(options)
    chunks = formats()[name].plan(listing, options)
    if options.source_prefix is None:
        return name, listing, chunks
    return name, listing, [_prefixed(chunk, options.source_prefix) for chunk in chunks]


def _prefixed(chunk: Chunk, prefix: str) -> Chunk:
    return replace(chunk, sources=tuple(replace(s, path=f"{prefix}/{s.path}") for s in chunk.sources))


def _lists_of_images(claimed: Sequence[str], listing: Listing, options: SourceOptions) -> list[str]:
    """The formats whose files name the images beside them, if no image has a caption of its own.

    Such an input is of the lists' format; its images alone would be a folder without captions.
    """
    if FOLDER not in claimed or len(claimed) == 1:
        return []
    known = formats()
    try:
        if any(chunk.captioned for chunk in known[FOLDER].plan(listing, options)):
            return []
    except InputError:
        return []
    return [name for name in claimed if name != FOLDER and _names_images(known[name], listing, options)]


def _why_no_list(claimed: Sequence[str], listing: Listing, options: SourceOptions) -> str:
    """What is wrong with a list beside images, for the message."""
    for name in claimed if FOLDER in claimed else ():
        try:
            formats()[name].plan(listing, options)
        except InputError as error:
            return f"; {name} cannot be read: {error}"
    return ""


def _names_images(module: Format, listing: Listing, options: SourceOptions) -> bool:
    try:
        return any(chunk.image_folder is not None for chunk in module.plan(listing, options))
    except InputError:  # the message that asks for the format says what is wrong
        return False


def _by_content(file: File, known: Mapping[str, Format]) -> list[str]:
    """The formats whose files look like this one. Used if no file name shows the format."""
    kind = sniff.of_file(file.uri)
    return [name for name, module in known.items() if kind in module.CONTENT]

"""The formats for kept rows, one module each: a new module here adds a new `filter --output-format`.

No other file names the formats. Code that several formats share is outside this folder, because every module in the
folder is a format: `parquet_parts`, `shards`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Protocol, cast

import pyarrow as pa
from pydantic import BaseModel

from pipeline.sources import SourceOptions
from pipeline.table import Table

DEFAULT = "parquet"


class Writer(Protocol):
    """Writes kept rows in one format."""

    def columns(self, table: Table, /) -> pa.Schema:
        """The columns of each row that `write` needs."""

    def write(self, table: Table, batches: Iterable[pa.RecordBatch], folder: Path, /) -> None:
        """Writes the rows into the folder, which exists and is empty, as `manifest.beside(folder)` does and is.

        Only data comes into the folder: many readers take every file in a folder for data.

        Raises:
            InputError: a kept row is no longer in the input, or its image has changed.
        """


class Format(Protocol):
    """What each module of this package provides."""

    HELP: str
    """what is written, for the command's help"""
    Options: type[BaseModel]
    """the options of this format: frozen, each with a description and a default"""

    def reads_images(self, options: Any, /) -> bool:
        """Whether the original images are read again, with these options."""

    def writer(self, options: Any, source: SourceOptions | None, /) -> Writer:
        """The writer. `source`: the input that the table was made from, or None if no images are read."""


@dataclass(frozen=True)
class Output:
    """How the rows of one filter are written."""

    format: str
    writer: Writer


def outputs() -> dict[str, Format]:
    """Every format, by name."""
    return {module.name: cast(Format, import_module(f"{__name__}.{module.name}")) for module in iter_modules(__path__)}


def written_as(name: str = DEFAULT, source: SourceOptions | None = None, **options: Any) -> Output:
    """An output of that format, with the format's own options."""
    found = outputs()[name]
    return Output(name, found.writer(found.Options(**options), source))

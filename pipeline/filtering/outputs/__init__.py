"""The formats in which kept rows are written, one module each: a new module here is a new `filter --output-format`.

Nothing else names it. What several of them need lies beside this folder, which is searched: `parquet_parts`, `shards`.
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
        """What `write` needs of each row."""

    def write(self, table: Table, batches: Iterable[pa.RecordBatch], folder: Path, /) -> None:
        """Writes the rows into the folder, which is there and empty.

        Raises:
            InputError: a kept row is not in the input any more, or its image is another one.
        """


class Format(Protocol):
    """What each module of this package provides."""

    HELP: str
    """what is written, for the help of the command"""
    Options: type[BaseModel]
    """the options that are for this format: frozen, each with a description and a default"""

    def reads_images(self, options: Any, /) -> bool:
        """Whether the original images are read again, with these options."""

    def writer(self, options: Any, source: SourceOptions | None, /) -> Writer:
        """`source` is the input that the table was made from: given where images are read, else None."""


@dataclass(frozen=True)
class Output:
    """How the rows of one filter are written."""

    format: str
    writer: Writer


def outputs() -> dict[str, Format]:
    """Every format, by name."""
    return {module.name: cast(Format, import_module(f"{__name__}.{module.name}")) for module in iter_modules(__path__)}


def written_as(name: str = DEFAULT, source: SourceOptions | None = None, **options: Any) -> Output:
    """An output of that format, by its own options."""
    found = outputs()[name]
    return Output(name, found.writer(found.Options(**options), source))

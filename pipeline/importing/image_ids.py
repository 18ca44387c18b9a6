"""Which rows of an import show the same image: the values of a column, as the column `image_identity`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import schema, storage
from pipeline.errors import TableError, UsageError
from pipeline.importing import parts
from pipeline.importing.options import ImportOptions
from pipeline.importing.parts import Part
from pipeline.sources import records
from pipeline.table import Table

SHA256 = "sha256"
"""the column of img2dataset and DataComp with the hash of an image"""
_SHA256_PATTERN = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True)
class ImageIds:
    """The column of a Parquet file with the ids of images."""

    column: str
    is_required: bool
    """whether the user names it: each file must have it then"""

    def identities(self, values: Sequence[Any]) -> list[str | None]:
        """The value of `image_identity` for each value of the column. A blank one says nothing about its image."""
        texts = [records.fitting(value, pa.string()) for value in values]
        if self.is_required:
            return [text if text and text.strip() else None for text in texts]
        return [text.lower() if text and _SHA256_PATTERN.fullmatch(text) else None for text in texts]


def image_ids(options: ImportOptions, found: Sequence[Part], existing: Table | None) -> ImageIds | None:
    """The column with the ids of images; None if there is none.

    Raises:
        UsageError: the named column is missing in a file, or null in every row.
        TableError: the table has ids of images and this import has none, or the other way round.
    """
    has_ids = existing is not None and schema.IMAGE_IDENTITY in existing.schema.names
    if options.image_id_col is not None:
        if existing is not None and not has_ids:
            raise TableError(
                f"table {existing.uri}: was imported without ids of images; leave out --image-id-col, or import into "
                "another --table"
            )
        _require_values(options.image_id_col, found)
        return ImageIds(options.image_id_col, is_required=True)
    if SHA256 in _footer(found[0]).schema.to_arrow_schema().names and (existing is None or has_ids):
        return ImageIds(SHA256, is_required=False)
    if existing is not None and has_ids:
        raise TableError(
            f"table {existing.uri}: was imported with ids of images; name their column with --image-id-col, or import "
            "into another --table"
        )
    return None


def _require_values(column: str, found: Sequence[Part]) -> None:
    has_value = False
    for part in found:
        footer = _footer(part)
        names = footer.schema.to_arrow_schema().names
        if column not in names:
            raise UsageError(
                f"--image-id-col: no column {column!r} in {part.rows.path}; it has {', '.join(map(str, names))}"
            )
        has_value |= not _is_all_null(footer, column)
    if not has_value:
        raise UsageError(f"--image-id-col: column {column!r} is null in every row; name another, or leave it out")


def _is_all_null(footer: pq.FileMetaData, column: str) -> bool:
    """Whether the footer says so. Without statistics, it does not."""
    paths = [footer.schema.column(number).path for number in range(len(footer.schema))]
    if column not in paths:  # a list or a struct
        return False
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        statistics = group.column(paths.index(column)).statistics
        if statistics is None or not statistics.has_null_count or statistics.null_count < group.num_rows:
            return False
    return True


def _footer(part: Part) -> pq.FileMetaData:
    with parts.reading(part.rows), storage.open_file(part.rows.uri) as file:
        return pq.read_metadata(file)

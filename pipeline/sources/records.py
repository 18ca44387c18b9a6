"""Shared by sources with records: the names of known fields, and the conversion of odd values to those of a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import pyarrow as pa

from pipeline import storage
from pipeline.sample import IMAGE_SUFFIXES
from pipeline.storage import File, Listing

KEY = "key"
UID = "uid"
SIZES = ("original_width", "original_height")
DEFAULT_KEPT = ("url", "key", "sha256")
METADATA_NAMES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
"""the list of a folder of images has such a name, as in Hugging Face's imagefolder"""
FILE_NAME = "file_name"
"""the field of these lists that names the image"""
DOCUMENT_HEAD = 1 << 16
MAX_INT32 = 2**31 - 1

# img2dataset's fields about each download
STATUS = "status"
ERROR = "error_message"
SUCCESS = "success"


def is_metadata(path: str) -> bool:
    return path.rpartition("/")[2] in METADATA_NAMES


def metadata_files(listing: Listing) -> list[File]:
    """The lists of a folder of images. If there are any, their records are the samples, not the image files."""
    found = [file for file in listing.files if is_metadata(file.path)]
    has_images = found and any(file.path.lower().endswith(IMAGE_SUFFIXES) for file in listing.files)
    return found if has_images else []


def documents(listing: Listing) -> list[File]:
    """The documents of captions, as COCO has them: by `captions` in the name and a JSON object that has images."""
    named = [f for f in listing.files if fnmatchcase(f.path.rpartition("/")[2].lower(), "*captions*.json")]
    stems = {file.path.rpartition(".")[0] for file in listing.files if file not in named} if named else set()
    # a file of the same stem is an image, whose record this is
    return [file for file in named if file.path.rpartition(".")[0] not in stems and _is_document(file)]


def _is_document(file: File) -> bool:
    with storage.open_file(file.uri) as handle:
        head: bytes = handle.read(DOCUMENT_HEAD)
    return head.lstrip().startswith(b"{") and (b'"images"' in head or b'"annotations"' in head)


def pixels(value: Any) -> int | None:
    """The width or height of an image as stated by its source; None if the value cannot be one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 1 <= value <= MAX_INT32 and value == int(value) else None


def escaped(value: Any) -> Any:
    """A text with the bytes escaped that are not UTF-8, so that a table can store it. Other values stay unchanged."""
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value


def shown(text: str, most: int = 200) -> str:
    """A text of the input for a message: its start, with what is not UTF-8 escaped."""
    start = str(escaped(text[: most + 1]))
    return start if len(start) <= most else f"{start[:most]}…"


def listed(names: Sequence[str], most: int = 20) -> str:
    """Names of fields for a message, with the number of those that are left out."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(shown(name, 60) for name in names[:most]) + more


def kept_schema(records: Iterable[Mapping[str, Any]], names: Iterable[str]) -> pa.Schema:
    """Columns for fields of JSON records. Each has the type of its first value that is not null."""
    records = list(records)
    values = {name: next((r[name] for r in records if r.get(name) is not None), None) for name in names}
    return pa.schema([pa.field(name, json_type(value)) for name, value in values.items()])


def json_type(value: Any) -> pa.DataType:
    """The column type for a value of a JSON record: boolean, integer, float, or else text."""
    if isinstance(value, bool):
        return pa.bool_()
    if isinstance(value, int):
        return pa.int64()
    return pa.float64() if isinstance(value, float) else pa.string()


def kept(record: Mapping[str, Any], columns: pa.Schema) -> dict[str, Any]:
    """The fields of a JSON record that are copied into the table. A value of another type than its column is null."""
    return {column.name: fitting(record.get(column.name), column.type) for column in columns}


def fitting(value: Any, kind: pa.DataType) -> Any:
    """Converts a value to a column's type; null if that is not possible. A text column takes any value, and an integer
    column takes 3.0."""
    if value is None:
        return None
    if pa.types.is_string(kind):
        if isinstance(value, str | bytes):
            return escaped(value)
        return escaped(json.dumps(value, ensure_ascii=False, default=str))
    if pa.types.is_boolean(kind) or isinstance(value, bool):
        return value if pa.types.is_boolean(kind) and isinstance(value, bool) else None
    try:
        if pa.types.is_floating(kind):
            return float(value) if isinstance(value, int | float) else None
        if pa.types.is_integer(kind) and isinstance(value, float):
            value = int(value) if value.is_integer() else None
        pa.scalar(value, kind)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):  # JSON allows integers of any length
        return None
    return value

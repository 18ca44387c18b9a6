"""The rows passed from the decoding stage to the embedding stage: photos, each with all pairs that have it.

A photo in several pairs is one row, so it is decoded, sent and embedded once, however Ray batches rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import schema

PIXELS = "pixels"
"""uint8 [height, width, 3] as bytes; null if no pair of the photo can be embedded"""
PIXELS_HEIGHT = "pixels_height"
PIXELS_WIDTH = "pixels_width"
PAIRS = "pairs"
"""list of structs with the columns of `schema.pair_schema`"""

RETRIES = "store.retries"
"""list of strings: the cause of each storage retry since the previous photo; null if there was none.

Rows of the table keep this column until they are written. Its name has a dot, so that no column of a table can have it.
"""

_SAMPLES, _SECONDS = b"siglane:samples", b"siglane:seconds"


def with_samples(photos: pa.Table, samples: int, seconds: Mapping[str, float] = {}) -> pa.Table:
    """The photos with metadata: the number of samples that the reader gave for them, including rejected ones, and how
    long the parts of the work took."""
    return photos.replace_schema_metadata({_SAMPLES: str(samples), _SECONDS: json.dumps(dict(seconds))})


def samples_of(photos: pa.Table) -> int:
    """The number of samples that the reader gave for these photos."""
    return int(photos.schema.metadata[_SAMPLES])


def seconds_of(photos: pa.Table) -> dict[str, float]:
    """How long the parts of the work on these photos took, of all threads together."""
    seconds: dict[str, float] = json.loads(photos.schema.metadata[_SECONDS])
    return seconds


def photo_schema(kept: pa.Schema) -> pa.Schema:
    return pa.schema(
        [
            # Offsets have 64 bits, because the pixels of a block can exceed 2 GiB.
            pa.field(PIXELS, pa.large_binary()),
            pa.field(PIXELS_HEIGHT, pa.int32()),
            pa.field(PIXELS_WIDTH, pa.int32()),
            pa.field(PAIRS, pa.list_(pa.struct(list(schema.pair_schema(kept)))), nullable=False),
            pa.field(RETRIES, pa.list_(pa.string())),
        ]
    )


@dataclass(frozen=True)
class Photo:
    """A photo before it becomes a row."""

    pixels: npt.NDArray[np.uint8] | None
    """uint8 [height, width, 3]; None if no pair can be embedded"""
    pairs: Sequence[Mapping[str, Any]]
    """the columns of `schema.pair_schema`; null where one is missing"""


def table_of(photos: Sequence[Photo], kept: pa.Schema, retries: Sequence[str] = ()) -> pa.Table:
    """The rows of photos. `retries` are the causes of those since the photos before these."""
    wanted = photo_schema(kept)
    pairs = [pair for photo in photos for pair in photo.pairs]
    ends = np.cumsum([0, *(len(photo.pairs) for photo in photos)], dtype=np.int32)
    fields = list(wanted.field(PAIRS).type.value_type)
    # Column by column: Arrow takes several times as long for a list of dicts.
    columns = [pa.array([pair.get(field.name) for pair in pairs], field.type) for field in fields]
    shapes = [(None, None) if photo.pixels is None else photo.pixels.shape[:2] for photo in photos]
    pixels = [None if photo.pixels is None else photo.pixels.reshape(-1).data for photo in photos]
    return pa.table(
        {
            PIXELS: pa.array(pixels, pa.large_binary()),
            PIXELS_HEIGHT: pa.array([height for height, _ in shapes], pa.int32()),
            PIXELS_WIDTH: pa.array([width for _, width in shapes], pa.int32()),
            PAIRS: pa.ListArray.from_arrays(
                pa.array(ends), pa.StructArray.from_arrays(columns, fields=fields), type=wanted.field(PAIRS).type
            ),
            RETRIES: pa.array([list(retries), *[None] * (len(photos) - 1)], pa.list_(pa.string())),
        },
        wanted,
    )

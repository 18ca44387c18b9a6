"""The rows passed from the decoding stage to the embedding stage: photos, each with all pairs that have it.

A photo in several pairs is one row, so it is decoded, sent and embedded once, however Ray batches rows.
"""

from __future__ import annotations

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


_SAMPLES = b"siglane:samples"


def with_samples(photos: pa.Table, samples: int) -> pa.Table:
    """The photos with the number of samples that the reader gave for them, including rejected ones, as metadata."""
    return photos.replace_schema_metadata({_SAMPLES: str(samples)})


def samples_of(photos: pa.Table) -> int:
    """The number of samples that the reader gave for these photos."""
    return int(photos.schema.metadata[_SAMPLES])


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

"""What travels from the decoding stage to the embedding stage: photos, each with the pairs it is part of.

A photo that stands in several pairs is one row, so it is decoded, carried and embedded once, however Ray batches rows.
"""

from __future__ import annotations

import pyarrow as pa

from pipeline import schema

PIXELS = "pixels"
"""uint8 [height, width, 3] as bytes; null where no pair of the photo can be embedded"""
PIXELS_HEIGHT = "pixels_height"
PIXELS_WIDTH = "pixels_width"
PAIRS = "pairs"
"""list of struct, the columns of `schema.pair_schema`"""

RETRIES = "store.retries"
"""list of string: why the store was asked again, once for each time, since the photo before; null for never.

Rows of the table carry it on to their writing, under this name, which has a dot as no column of a table has.
"""


_SAMPLES = b"siglane:samples"


def with_samples(photos: pa.Table, samples: int) -> pa.Table:
    """Photos, with a note of how many samples the reader gave for them, whatever became of these."""
    return photos.replace_schema_metadata({_SAMPLES: str(samples)})


def samples_of(photos: pa.Table) -> int:
    """How many samples the reader gave for these photos."""
    return int(photos.schema.metadata[_SAMPLES])


def photo_schema(kept: pa.Schema) -> pa.Schema:
    return pa.schema(
        [
            # 64-bit offsets: a block of pixels may pass 2 GiB
            pa.field(PIXELS, pa.large_binary()),
            pa.field(PIXELS_HEIGHT, pa.int32()),
            pa.field(PIXELS_WIDTH, pa.int32()),
            pa.field(PAIRS, pa.list_(pa.struct(list(schema.pair_schema(kept)))), nullable=False),
            pa.field(RETRIES, pa.list_(pa.string())),
        ]
    )

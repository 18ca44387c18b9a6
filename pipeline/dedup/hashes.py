"""Perceptual hashes of a table's images, stored in a column, so that each image is read and decoded only once."""

from __future__ import annotations

import logging

import dhash
import numpy as np
import pyarrow as pa
from PIL import Image

from pipeline import originals, schema
from pipeline.errors import TableError
from pipeline.originals import Original
from pipeline.progress import current
from pipeline.sources import SourceOptions
from pipeline.table import EMBEDDED, TableUri, add_columns, fill_columns, open_table
from pipeline.wording import counted
from siglip_core import Preprocessing
from siglip_core.preprocess import decode

log = logging.getLogger(__name__)

IMAGES_PER_COMMIT = 65_536

# Small enough to be fast, large enough not to change the hash, which resizes the image to 9 x 9.
_SEEN = Preprocessing("hf-bicubic-aa", 96)
_SIDE = 8
MISSING = f"{EMBEDDED} AND {schema.IMAGE_SHA256} IS NOT NULL AND {schema.IMAGE_HASH} IS NULL"


def fill_hashes(uri: TableUri, source: SourceOptions | None) -> int:
    """Hashes every image without a hash, reading it again from the input. Returns the number of rows filled.

    Raises:
        TableError: hashes are missing, but no input is given.
        InputError: an image is no longer in the input, or has changed.
    """
    add_columns(uri, pa.schema([(schema.IMAGE_HASH, pa.string())]))
    table = open_table(uri)
    missing = table.count(MISSING)
    if not missing:
        return 0
    if source is None:
        raise TableError(
            f"table {uri}: {counted(missing, 'image has', 'images have')} no perceptual hash yet; give the --input "
            "that the table was made from"
        )
    names = [schema.SOURCE, schema.SOURCE_ROW]
    rows = originals.collect(table.scan(names, MISSING, addresses=True))
    filled, found = 0, dict[tuple[str, int], str]()
    for some in originals.with_records(table, source, rows, names):
        found.update({_key(original): image_hash(original.image) for original in some if original.image is not None})
        if len(found) >= IMAGES_PER_COMMIT:
            with current.aside():
                filled += _write(uri, found)
            found = {}
            log.info("table %s: %d of %s hashed", uri, filled, counted(missing, "image"))
    return filled + _write(uri, found)


def image_hash(image: bytes) -> str:
    """32 hex characters of an image's bytes: 64 bits of differences along its rows, and 64 along its columns.

    Raises:
        siglip_core.ImageError: the bytes are not an image.
    """
    grey = Image.fromarray(decode(image, _SEEN).pixels).convert("L")
    seen = grey.resize((_SIDE + 1, _SIDE + 1), Image.Resampling.LANCZOS)
    row, column = dhash.dhash_row_col(np.asarray(seen).ravel().tolist(), _SIDE)
    return f"{row:016x}{column:016x}"


def _key(original: Original) -> tuple[str, int]:
    return original.record[schema.SOURCE], original.record[schema.SOURCE_ROW]


def _write(uri: TableUri, found: dict[tuple[str, int], str]) -> int:
    def look_up(batch: pa.RecordBatch) -> dict[str, pa.Array]:
        keys = zip(batch[schema.SOURCE].to_pylist(), batch[schema.SOURCE_ROW].to_pylist(), strict=True)
        return {schema.IMAGE_HASH: pa.array([found.get(key) for key in keys], pa.string())}

    for _ in fill_columns(uri, "hashes", [schema.SOURCE, schema.SOURCE_ROW], MISSING, look_up):
        pass
    return len(found)

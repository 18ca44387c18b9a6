"""Thumbnails of a table's rows: those that the table stores. Of other rows, the original images are read again, and
decoded in a separate process.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import originals, schema, sources
from pipeline.errors import InputError
from pipeline.originals import LedgerRows
from pipeline.report.pairs import Pair
from pipeline.sources import SourceOptions
from pipeline.stages import photos
from pipeline.stages.decode import ReadAndDecode, chunk_table
from pipeline.stages.isolate import SAMPLE_GIGABYTES, SAMPLE_SECONDS, Isolated
from pipeline.stages.thumbnail import to_jpeg
from pipeline.table import Table
from siglip_core.preprocess import MAX_PIXELS
from siglip_core.variants import Preprocessing

SIDE = 200


@dataclass(frozen=True)
class Thumbnail:
    jpeg: bytes | None
    why_not: str | None = None


LOST = Thumbnail(None, "no longer in the input")
NOT_STORED = Thumbnail(None, "the table stores no thumbnail of this row, and no --input was given")


def stored_columns(table: Table, least: int = 0) -> list[str]:
    """What to read of rows, so that their stored thumbnails are shown; nothing if the table stores none.

    `least`: nothing, too, if its thumbnails are smaller than so many pixels.
    """
    px = schema.thumbnail_px(table.schema)
    return [] if px is None or px < least else [schema.THUMBNAIL]


def stored(pairs: Collection[Pair]) -> dict[int, Thumbnail]:
    """The thumbnails that came with the rows, by the row's address."""
    return {pair.address: Thumbnail(jpeg) for pair in pairs if (jpeg := pair.row.get(schema.THUMBNAIL)) is not None}


class Reader:
    """Reads thumbnails and images from one input, as often as asked. It lists the input once."""

    def __init__(self, options: SourceOptions, side: int = SIDE) -> None:
        """Lists the input.

        Thumbnails keep the aspect ratio of the image, and have at most as many pixels as a square of that side.

        Raises:
            InputError: the input cannot be read.
        """
        self._options, self._side = options, side
        self.list_again()

    def list_again(self) -> None:
        """Lists the input again: files may have come."""
        self._format, self._listing, self._planned = sources.planned(self._options)
        resizing = Preprocessing("naflex-bilinear-aa", self._side, patch_size=1, max_patches=self._side**2)
        self._stage = Isolated(
            ReadAndDecode(self._format, self._options, resizing, MAX_PIXELS, pa.schema([]), allow_missing=True),
            SAMPLE_SECONDS,
            int(SAMPLE_GIGABYTES * 2**30),
        )

    @property
    def uri(self) -> str:
        return self._listing.uri

    def read(self, pairs: Collection[Pair]) -> dict[int, Thumbnail]:
        """The thumbnails of those pairs that the input has, by the row's address. A missing one gives the reason."""
        wanted = {(pair.row[schema.SOURCE], pair.row[schema.SOURCE_ROW]): pair for pair in pairs}
        found: dict[int, Thumbnail] = {}
        for table in self._stage(chunk_table(list(originals.only(self._planned, _rows(pairs))))):
            for photo in table.to_pylist():
                for read_again in photo[photos.PAIRS]:
                    pair = wanted[read_again[schema.SOURCE], read_again[schema.SOURCE_ROW]]
                    found[pair.address] = _thumbnail(photo, read_again, pair)
        return found

    def original(self, pair: Pair) -> bytes | None:
        """The bytes of the pair's image file, not decoded; None if the input does not have it."""
        for chunk in originals.only(self._planned, _rows([pair])):
            for sample in sources.formats()[self._format].read(chunk, self._options):
                if sample.row == pair.row[schema.SOURCE_ROW]:
                    return sample.image
        return None


def read(options: SourceOptions | None, pairs: Collection[Pair], side: int = SIDE) -> dict[int, Thumbnail]:
    """The pairs' thumbnails, by the row's address: stored ones (`stored`), else of the input (`Reader`).

    A missing thumbnail gives the reason. The input is not looked at if all thumbnails are stored.

    Raises:
        InputError: the input cannot be read, or contains none of the pairs.
    """
    found = stored(pairs)
    left = [pair for pair in pairs if pair.address not in found]
    if options is None or not left:
        return {pair.address: found.get(pair.address, NOT_STORED) for pair in pairs}
    reader = Reader(options, side)
    found |= reader.read(left)
    if not found:
        raise InputError(
            f"input {reader.uri}: none of the {len(left)} rows to show is in it, e.g. of source "
            f"{left[0].row[schema.SOURCE]!r}; give the --input and its options that the table was made with"
        )
    return {pair.address: found.get(pair.address, LOST) for pair in pairs}


def _rows(pairs: Collection[Pair]) -> LedgerRows:
    names = list(dict.fromkeys(pair.row[schema.SOURCE] for pair in pairs))
    codes = {name: code for code, name in enumerate(names)}
    return LedgerRows(
        names,
        np.array([codes[pair.row[schema.SOURCE]] for pair in pairs], np.int32),
        np.array([pair.row[schema.SOURCE_ROW] for pair in pairs], np.int64),
        np.array([pair.address for pair in pairs], np.uint64),
    )


def _thumbnail(photo: Mapping[str, Any], read_again: Mapping[str, Any], pair: Pair) -> Thumbnail:
    known, digest = pair.row[schema.IMAGE_SHA256], read_again[schema.IMAGE_SHA256]
    if known is not None and digest is not None and digest != known:
        return Thumbnail(None, "not the embedded image: the file has changed since")
    if read_again[schema.STATUS] != schema.SUCCESS:
        return Thumbnail(None, f"{read_again[schema.REASON]}: {read_again[schema.ERROR_MESSAGE]}")
    if photo[photos.PIXELS] is None:
        return Thumbnail(None, "the pair has no image")
    shape = (photo[photos.PIXELS_HEIGHT], photo[photos.PIXELS_WIDTH], 3)
    return Thumbnail(to_jpeg(np.frombuffer(photo[photos.PIXELS], np.uint8).reshape(shape)))

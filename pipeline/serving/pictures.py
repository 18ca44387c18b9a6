"""Images of rows: thumbnails that the table stores, and what is read from the input again."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

from pipeline import schema
from pipeline.report.pairs import Pair
from pipeline.report.thumbnails import LOST, NOT_STORED, Reader, Thumbnail, stored, stored_columns
from pipeline.serving.batching import Batcher
from pipeline.serving.snapshots import Following
from pipeline.sources import SourceOptions
from pipeline.table import ROW_ADDRESS, Table

SIDE = 256
"""pixels: a thumbnail has at most as many as a square of this side"""
MOST_AT_ONCE = 32
"""rows whose images are read in one pass over their files"""
CACHE_BYTES = 64 << 20
SECONDS_BETWEEN_LISTINGS = 60.0
"""of an input that lacks a row's source: files may have come"""

_NO_ROW = "no row has this uid"

SHOWN_AS = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"GIF8": "image/gif",
    b"BM": "image/bmp",
}
"""by their first bytes, the formats that a browser shows; others, SVG with its scripts too, are only downloaded"""


@dataclass(frozen=True)
class Original:
    data: bytes | None
    media_type: str = "application/octet-stream"
    why_not: str | None = None


class Pictures:
    """Reads the images of a table's rows: stored thumbnails, and images of the input that the table was made from."""

    def __init__(self, following: Following, options: SourceOptions | None, waiting: int) -> None:
        """Lists the input, if there is one. Raises InputError if it cannot be read."""
        self._following = following
        self._reader = None if options is None else Reader(options, SIDE)
        self._listed = time.monotonic()
        self._cache: OrderedDict[str, Thumbnail] = OrderedDict()
        self._cached_bytes = 0
        self._reading = Lock()
        self.thumbnails: Batcher[str, Thumbnail] = Batcher("thumbnails", self._read, MOST_AT_ONCE, waiting)
        self.originals: Batcher[str, Original] = Batcher("originals", self._read_originals, 1, waiting)

    @property
    def has_input(self) -> bool:
        """Whether original images can be read."""
        return self._reader is not None

    def are_shown(self) -> bool:
        """Whether rows may have thumbnails."""
        return self.has_input or bool(stored_columns(self._following.newest()))

    def close(self) -> None:
        self.thumbnails.close()
        self.originals.close()

    def _read(self, uids: Sequence[str]) -> list[Thumbnail]:
        pairs = self._pairs(uids, with_stored=True)
        at_hand = stored(pairs.values())
        others = {uid: pair for uid, pair in pairs.items() if pair.address not in at_hand}
        found = {uid: at_hand[pair.address] for uid, pair in pairs.items() if pair.address in at_hand}
        if others:
            found |= dict.fromkeys(others, NOT_STORED) if self._reader is None else self._of_input(self._reader, others)
        return [found.get(uid, Thumbnail(None, _NO_ROW)) for uid in uids]

    def _of_input(self, reader: Reader, pairs: Mapping[str, Pair]) -> dict[str, Thumbnail]:
        keys = {uid: f"{uid} {pair.row[schema.IMAGE_SHA256]}" for uid, pair in pairs.items()}
        missing = {uid: pair for uid, pair in pairs.items() if keys[uid] not in self._cache}
        with self._reading:
            found = reader.read(missing.values()) if missing else {}
            if len(found) < len(missing) and self._lists_again(reader):
                found |= reader.read([pair for pair in missing.values() if pair.address not in found])
        read = {uid: found.get(pair.address, LOST) for uid, pair in missing.items()}
        for uid, thumbnail in read.items():
            if thumbnail.jpeg is not None:
                self._keep(keys[uid], thumbnail)
        return {uid: self._cache[keys[uid]] for uid in pairs if keys[uid] in self._cache} | read

    def _keep(self, key: str, thumbnail: Thumbnail) -> None:
        self._cache[key] = thumbnail
        self._cached_bytes += len(thumbnail.jpeg or b"")
        while self._cached_bytes > CACHE_BYTES and len(self._cache) > MOST_AT_ONCE:
            _, oldest = self._cache.popitem(last=False)
            self._cached_bytes -= len(oldest.jpeg or b"")

    def _lists_again(self, reader: Reader) -> bool:
        if time.monotonic() - self._listed < SECONDS_BETWEEN_LISTINGS:
            return False
        reader.list_again()
        self._listed = time.monotonic()
        return True

    def _pairs(self, uids: Sequence[str], with_stored: bool = False) -> dict[str, Pair]:
        """The first row of each uid that the table has. The uids are checked: they hold no quote."""
        columns = [schema.UID, schema.SOURCE, schema.SOURCE_ROW, schema.IMAGE_SHA256]
        where = f"{schema.UID} IN ({', '.join(repr(uid) for uid in set(uids))})"

        def read(opened: Table) -> dict[str, Pair]:
            found: dict[str, Pair] = {}
            read = [*columns, *(stored_columns(opened) if with_stored else ())]
            for batch in opened.scan(read, where, addresses=True):
                for row in batch.to_pylist():
                    found.setdefault(row[schema.UID], Pair(row[ROW_ADDRESS], row))
            return found

        assert all(map(schema.is_uid, uids))
        return self._following.read(read)

    def _read_originals(self, uids: Sequence[str]) -> list[Original]:
        pairs = self._pairs(uids)
        return [self._original(pairs[uid]) if uid in pairs else Original(None, why_not=_NO_ROW) for uid in uids]

    def _original(self, pair: Pair) -> Original:
        assert self._reader is not None
        with self._reading:
            image = self._reader.original(pair)
            if image is None and self._lists_again(self._reader):
                image = self._reader.original(pair)
        if image is None:
            return Original(None, why_not=LOST.why_not)
        return _checked(image, pair.row[schema.IMAGE_SHA256])


def _checked(image: bytes, known: str | None) -> Original:
    if known is not None and hashlib.sha256(image).hexdigest() != known:
        return Original(None, why_not="not the embedded image: the file has changed since")
    is_webp = image[:4] == b"RIFF" and image[8:12] == b"WEBP"
    is_avif = image[4:12] in (b"ftypavif", b"ftypavis")
    kinds = [kind for start, kind in SHOWN_AS.items() if image.startswith(start)]
    kinds += ["image/webp"] * is_webp + ["image/avif"] * is_avif
    return Original(image, *kinds[:1])

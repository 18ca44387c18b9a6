"""Output as WebDataset: tars of the original images, not re-encoded, each with its caption and its row as JSON.

Samples are read once, in the order of the input. Without a shuffle they go straight into the tars. With one, each is
appended to a spool file of the shard that it was dealt to, and each spool is put in order when all have been read: so
memory holds a few numbers of each row, and no more images than are read at once.
"""

from __future__ import annotations

import datetime
import json
import tarfile
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import content, originals, schema
from pipeline.filtering import parquet
from pipeline.filtering.json_numbers import finite
from pipeline.originals import Original
from pipeline.sources import SourceOptions
from pipeline.table import Table

SIZES = "sizes.json"
_SUFFIXES = {"JPEG": "jpg", "PNG": "png", "GIF": "gif", "WebP": "webp", "BMP": "bmp", "TIFF": "tif", "AVIF": "avif"}
_END_OF_TAR = bytes(2 * tarfile.BLOCKSIZE)


@dataclass(frozen=True)
class WebDataset:
    source: SourceOptions
    """the input that the table was made from"""
    shard_size: int
    """samples in a tar"""
    shuffle_seed: int | None = None
    """of the order of samples; None: that of the input"""

    NAME = "webdataset"

    def columns(self, table: Table) -> pa.Schema:
        return originals.columns(table)

    def write(self, table: Table, batches: Iterable[pa.RecordBatch], folder: Path) -> None:
        """Writes `00000000.tar` and so on, a `_stats.json` beside each, and `sizes.json`.

        Raises:
            InputError: a kept row is not in the input any more, or its image is another one.
        """
        rows = originals.collect(batches)
        shards = _Shards(folder, self.shard_size, spooled=self.shuffle_seed is not None)
        places = None
        if self.shuffle_seed is not None:
            places = np.random.default_rng(self.shuffle_seed).permutation(len(rows.addresses))
        arrived = count()
        for some in originals.with_records(table, self.source, rows, parquet.columns(table).names):
            of_some = [next(arrived) if places is None else int(places[original.row]) for original in some]
            shards.add(zip(of_some, map(_members, some), strict=True))
        sizes = shards.finish()
        (folder / SIZES).write_text(json.dumps(sizes) + "\n", "utf-8")


def _members(original: Original) -> Sequence[tuple[str, bytes]]:
    """(suffix, bytes) of one sample, the image's first."""
    members: list[tuple[str, bytes]] = []
    if original.image is not None:
        kind = content.kind(original.image[: content.HEAD_BYTES])
        members.append((_SUFFIXES.get(kind, "img"), original.image))
    if original.record[schema.CAPTION] is not None:
        members.append(("txt", original.record[schema.CAPTION].encode()))
    record = json.dumps(finite(original.record), default=_as_text, ensure_ascii=False, allow_nan=False)
    return [*members, ("json", record.encode())]


def _as_text(value: Any) -> str:
    """A value of a kept column that JSON has no form for."""
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if isinstance(value, datetime.date | datetime.time) else str(value)


class _Shards:
    """Tars of `size` samples, filled in order of place, or, spooled, in any order."""

    def __init__(self, folder: Path, size: int, spooled: bool) -> None:
        self._folder = folder
        self._size = size
        self._spooled = spooled
        self._written: dict[int, tuple[array[int], array[int]]] = {}
        """by shard: the places of its samples and how many bytes each has, in the order of its file"""

    def add(self, samples: Iterable[tuple[int, Sequence[tuple[str, bytes]]]]) -> None:
        """(place, members) of each."""
        of_shards: dict[int, list[bytes]] = {}
        for place, members in samples:
            shard = place // self._size
            data = b"".join(chain.from_iterable(_tar_member(f"{place:012d}.{suffix}", v) for suffix, v in members))
            of_shards.setdefault(shard, []).append(data)
            places, lengths = self._written.setdefault(shard, (array("q"), array("q")))
            places.append(place)
            lengths.append(len(data))
        for shard, written in of_shards.items():
            with self._file(shard).open("ab") as file:
                file.writelines(written)

    def finish(self) -> dict[str, int]:
        """Completes every tar; gives the number of samples of each, by its name."""
        sizes = {}
        for shard in sorted(self._written):
            samples = len(self._written[shard][0])
            if self._spooled:
                self._put_in_order(shard)
            else:
                with self._file(shard).open("ab") as file:
                    file.write(_END_OF_TAR)
            stats = {"count": samples, "successes": samples}
            (self._folder / f"{shard:08d}_stats.json").write_text(json.dumps(stats) + "\n", "utf-8")
            sizes[f"{shard:08d}.tar"] = samples
        return sizes

    def _file(self, shard: int) -> Path:
        return self._folder / f"{shard:08d}.{'spool' if self._spooled else 'tar'}"

    def _put_in_order(self, shard: int) -> None:
        places, lengths = (np.array(numbers) for numbers in self._written[shard])
        starts = np.cumsum(lengths) - lengths
        with self._file(shard).open("rb") as spool, (self._folder / f"{shard:08d}.tar").open("wb") as tar:
            for sample in np.argsort(places):
                spool.seek(int(starts[sample]))
                tar.write(spool.read(int(lengths[sample])))
            tar.write(_END_OF_TAR)
        self._file(shard).unlink()


def _tar_member(name: str, data: bytes) -> tuple[bytes, bytes, bytes]:
    """Header, data and padding."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info.tobuf(tarfile.USTAR_FORMAT), data, bytes(-len(data) % tarfile.BLOCKSIZE)

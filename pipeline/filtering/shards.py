"""Writes samples to tar shards.

Samples that arrive in their final order are written directly to the tars. Otherwise each sample is appended to a spool
file of its shard, and the spools are sorted at the end. So memory holds only a few numbers per sample.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from pipeline.fileformats import tar_writer


class Shards:
    """Tars of `size` samples. Samples must arrive in order of their place, unless `spooled`."""

    def __init__(self, folder: Path, size: int, spooled: bool) -> None:
        self._folder = folder
        self._size = size
        self._spooled = spooled
        self._written: dict[int, tuple[array[int], array[int]]] = {}
        """by shard: the places of its samples and the bytes of each, in file order"""

    def add(self, samples: Iterable[tuple[int, Sequence[tuple[str, bytes]]]]) -> None:
        """Adds samples, given as (place, members)."""
        of_shards: dict[int, list[bytes]] = {}
        for place, members in samples:
            shard = place // self._size
            written = of_shards.setdefault(shard, [])
            length = 0
            for suffix, data in members:
                parts = tar_writer.member(b"%012d.%s" % (place, suffix.encode()), data)
                written += parts
                length += sum(map(len, parts))
            places, lengths = self._written.setdefault(shard, (array("q"), array("q")))
            places.append(place)
            lengths.append(length)
        for shard, written in of_shards.items():
            with self._file(shard).open("ab") as file:
                tar_writer.append(file, written)

    def finish(self) -> dict[str, int]:
        """Completes every tar. Returns the number of samples by the tar's name."""
        sizes = {}
        for shard in sorted(self._written):
            samples = len(self._written[shard][0])
            if self._spooled:
                self._put_in_order(shard)
            else:
                with self._file(shard).open("ab") as file:
                    file.write(tar_writer.END)
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
            tar.write(tar_writer.END)
        self._file(shard).unlink()

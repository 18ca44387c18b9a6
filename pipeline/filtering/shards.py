"""Tars of samples, filled as samples come.

Where they come in order of place they go straight into the tars. Else each is appended to a spool file of its shard,
and each spool is put in order when all have come: so memory holds a few numbers of each sample.
"""

from __future__ import annotations

import json
import os
import tarfile
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

_END_OF_TAR = bytes(2 * tarfile.BLOCKSIZE)
_PARTS_AT_ONCE = os.sysconf("SC_IOV_MAX")


class Shards:
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
            written = of_shards.setdefault(shard, [])
            length = 0
            for suffix, data in members:
                padding = -len(data) % tarfile.BLOCKSIZE
                written += _header(b"%012d.%s" % (place, suffix.encode()), len(data)), data, bytes(padding)
                length += tarfile.BLOCKSIZE + len(data) + padding
            places, lengths = self._written.setdefault(shard, (array("q"), array("q")))
            places.append(place)
            lengths.append(length)
        for shard, written in of_shards.items():
            with self._file(shard).open("ab") as file:
                _write(file, written)

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


def _write(file: BinaryIO, parts: Sequence[bytes]) -> None:
    """Many at a time: each call takes longer than the copying of a small part, and lets no other thread run."""
    for first in range(0, len(parts), _PARTS_AT_ONCE):
        some = parts[first : first + _PARTS_AT_ONCE]
        written = os.writev(file.fileno(), some)
        if written < sum(map(len, some)):  # the disk is full, as a rule, which writing the rest tells
            file.write(b"".join(some)[written:])
            file.flush()


_UNNAMED = tarfile.TarInfo().tobuf(tarfile.USTAR_FORMAT)
_MODE_AND_OWNER, _TIME, _TYPE_AND_REST = _UNNAMED[100:124], _UNNAMED[136:148], _UNNAMED[156:]
_SUM = sum(_MODE_AND_OWNER) + sum(_TIME) + sum(_TYPE_AND_REST) + 8 * ord(" ")


def _header(name: bytes, size: int) -> bytes:
    """What `tarfile` makes in eight times as long for a file of this name, of at most 100 bytes, and nothing else."""
    digits = b"%011o\0" % size
    checksum = b"%06o\0 " % (_SUM + sum(name) + sum(digits))
    return b"".join((name.ljust(100, b"\0"), _MODE_AND_OWNER, digits, _TIME, checksum, _TYPE_AND_REST))

"""Chooses which of the rows that tie at a cut are kept: the smallest uids; of one uid, the first by source and row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import schema

COLUMNS = (schema.UID, schema.SOURCE, schema.SOURCE_ROW)

Batches = Callable[[], Iterator[tuple[pa.RecordBatch, npt.NDArray[np.intp]]]]
"""reads the tied rows, again on each call: batches with `COLUMNS`, and the index of each row's group, [N]"""
_Key = tuple[str, int]


@dataclass(frozen=True)
class LastKept:
    """The last kept row among a group's tied rows."""

    uid: bytes
    keys: frozenset[_Key] | None
    """(source, source_row) of the kept rows with exactly this uid; None: all of them"""


class Winners:
    """The tied rows to keep. Needs 32 bytes per tied row during construction, and almost nothing afterwards."""

    def __init__(self, tied: Batches, limits: dict[int, int]) -> None:
        """`limits`: how many tied rows of each group are kept, by the group's index."""
        uids: dict[int, list[npt.NDArray[np.bytes_]]] = {group: [] for group in limits}
        for batch, groups in tied():
            of_batch = _uids(batch)
            for group in limits:
                uids[group].append(of_batch[groups == group])
        self._last = {
            group: self._last_kept(tied, group, np.concatenate(uids[group]), limits[group]) for group in limits
        }

    def keeps(self, batch: pa.RecordBatch, groups: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
        """Whether each of these tied rows, with `COLUMNS`, is kept, [N]."""
        kept = np.zeros(len(batch), bool)
        uids = _uids(batch)
        for group, last in self._last.items():
            if last is not None:
                kept |= (groups == group) & (uids < last.uid)
                for place in np.flatnonzero((groups == group) & (uids == last.uid)):
                    kept[place] = last.keys is None or _key(batch, place) in last.keys
        return kept

    @staticmethod
    def _last_kept(tied: Batches, group: int, uids: npt.NDArray[np.bytes_], limit: int) -> LastKept | None:
        if not len(uids) or not limit:
            return None
        uid = bytes(np.sort(uids)[min(limit, len(uids)) - 1])
        left = limit - int(np.count_nonzero(uids < uid))
        if np.count_nonzero(uids == uid) <= left:
            return LastKept(uid, None)
        same = [
            _key(batch, place)
            for batch, groups in tied()
            for place in np.flatnonzero((groups == group) & (_uids(batch) == uid))
        ]
        return LastKept(uid, frozenset(sorted(same)[:left]))


def _uids(batch: pa.RecordBatch) -> npt.NDArray[np.bytes_]:
    return np.array(batch[schema.UID].to_pylist(), "S32")


def _key(batch: pa.RecordBatch, place: np.intp) -> _Key:
    return batch[schema.SOURCE][int(place)].as_py(), batch[schema.SOURCE_ROW][int(place)].as_py()

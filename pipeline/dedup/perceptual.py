"""Finds images that look alike: their perceptual hashes differ in only a few bits.

Split two 128-bit hashes that differ in at most d bits into d + 1 bands: at least one band is equal. So only hashes with
an equal band are compared, never all with all.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from pipeline.dedup.compared_rows import Indices, Order
from pipeline.dedup.exact import kept_of_group

BITS = 128
_PER_BLOCK = 1_024

Words = npt.NDArray[np.uint64]


def find(order: Order, distance: int) -> Indices:
    """For each row in order: the place of the row kept instead of it, or -1 if the row is kept; int64 [N].

    Rows are visited in order. A row that is not near any kept row is kept too. So every marked row is within `distance`
    bits of the row that it names.
    """
    features = order.features()
    _, first, group = np.unique(features, return_index=True, return_inverse=True)
    distinct = np.sort(first)
    kept = kept_of_group(first[group].astype(np.int64), order)
    near = _greedy(_words(features[distinct]), distinct, distance, order)
    place_in_distinct = np.searchsorted(distinct, first[group])
    of_first = near[place_in_distinct]
    is_first = first[group] == np.arange(len(features))
    # A row with the hash of an earlier row is a duplicate of that row, or of the row that it is a duplicate of.
    joined = np.where(of_first >= 0, of_first, kept)
    result = np.where(is_first, of_first, joined)
    result[: order.fixed] = -1
    return result


def _greedy(words: Words, places: Indices, distance: int, order: Order) -> Indices:
    """As `find`, for distinct hashes, uint64 [M, 2], at these places of the order; int64 [M]."""
    found = [np.empty(0, np.int64)]
    fixed = int(np.searchsorted(places, order.fixed))
    for one, other in near_pairs(words, distance):
        useful = other >= fixed
        if not order.among_judged:
            useful &= one < fixed
        if useful.any():
            found.append(other[useful] * len(words) + one[useful])
    # A pair is stored as one number, j * M + i, in eight bytes: among nearly blank images almost all pairs are near.
    pairs = np.concatenate(found)
    found.clear()
    pairs.sort()
    later, earlier = np.divmod(pairs[np.diff(pairs, prepend=-1) > 0], max(len(words), 1))
    kept = np.full(len(words), -1, np.int64)
    starts = np.flatnonzero(np.diff(later, prepend=-1))
    for start, end in pairwise([*starts.tolist(), len(later)]):
        before = earlier[start:end]
        stays = before[kept[before] < 0]
        if len(stays):
            kept[later[start]] = stays[0]
    return np.where(kept >= 0, places[kept], -1)


def near_pairs(words: Words, distance: int) -> Iterator[tuple[Indices, Indices]]:
    """Pairs (i, j), i < j, of hashes uint64 [M, 2] that differ in at most `distance` bits. A pair may be repeated."""
    edges = [BITS * number // (distance + 1) for number in range(distance + 2)]
    for start, end in pairwise(edges):
        band = _bits(words, start, end)
        by_band = np.argsort(band, kind="stable")
        runs = np.flatnonzero(np.diff(band[by_band], prepend=band[by_band[:1]] + np.uint64(1)))
        for begin, stop in pairwise([*runs.tolist(), len(by_band)]):
            if stop - begin > 1:
                yield from _near_in(by_band[begin:stop], words, distance)


def _near_in(members: Indices, words: Words, distance: int) -> Iterator[tuple[Indices, Indices]]:
    """The near pairs among some hashes: compares all with all, a block at a time. `members` must be ascending."""
    for start in range(0, len(members), _PER_BLOCK):
        block = members[start : start + _PER_BLOCK]
        for other in range(0, start + 1, _PER_BLOCK):
            before = members[other : other + _PER_BLOCK]
            differing = np.bitwise_count(words[before][:, None, :] ^ words[block][None, :, :]).sum(2, dtype=np.uint8)
            one, two = np.nonzero(differing <= distance)
            is_before = before[one] < block[two]
            yield before[one[is_before]], block[two[is_before]]


def _bits(words: Words, start: int, end: int) -> Words:
    """Bits [start, end) of the 128 bits: at most 64 bits, unless the complete hash is one band."""
    if end - start > 64:
        _, codes = np.unique(words, axis=0, return_inverse=True)
        return codes.reshape(-1).astype(np.uint64)
    high, low = words[:, 0], words[:, 1]
    shifted = _shifted_right(high, low, BITS - end)
    width = end - start
    return shifted if width == 64 else shifted & np.uint64((1 << width) - 1)


def _shifted_right(high: Words, low: Words, by: int) -> Words:
    """The lower 64 bits of (high, low) >> by."""
    if by == 0:
        return low
    if by >= 64:
        return high >> np.uint64(by - 64)
    return (low >> np.uint64(by)) | (high << np.uint64(64 - by))


def _words(features: npt.NDArray[np.bytes_]) -> Words:
    """32 hex characters as two numbers, uint64 [M, 2]."""
    if not len(features):
        return np.empty((0, 2), np.uint64)
    return np.frombuffer(bytes.fromhex(b"".join(features.tolist()).decode()), ">u8").astype(np.uint64).reshape(-1, 2)

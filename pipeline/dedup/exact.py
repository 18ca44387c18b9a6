"""Images of the same bytes."""

from __future__ import annotations

import numpy as np

from pipeline.dedup.compared_rows import Indices, Order


def find(order: Order) -> Indices:
    """For each row in order the place of the one that stays instead, -1 where it stays itself; int64 [N]."""
    _, first, group = np.unique(order.features(), return_index=True, return_inverse=True)
    return kept_of_group(first[group].astype(np.int64), order)


def kept_of_group(first: Indices, order: Order) -> Indices:
    """`first` is for each row the place of the first of its group."""
    place = np.arange(len(first))
    stays = (first == place) | (place < order.fixed)
    if not order.among_judged:
        stays |= first >= order.fixed
    return np.where(stays, -1, first)

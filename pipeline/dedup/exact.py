"""Finds images with equal bytes."""

from __future__ import annotations

import numpy as np

from pipeline.dedup.compared_rows import Indices, Order


def find(order: Order) -> Indices:
    """For each row in order: the place of the row kept instead of it, or -1 if the row is kept; int64 [N]."""
    _, first, group = np.unique(order.features(), return_index=True, return_inverse=True)
    return kept_of_group(first[group].astype(np.int64), order)


def kept_of_group(first: Indices, order: Order) -> Indices:
    """As `find`. `first`: for each row, the place of the first row of its group."""
    place = np.arange(len(first))
    stays = (first == place) | (place < order.fixed)
    if not order.among_judged:
        stays |= first >= order.fixed
    return np.where(stays, -1, first)

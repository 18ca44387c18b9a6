"""A cut through a table's scores: what reaches the threshold is kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Cut:
    threshold: float
    """infinity where nothing is kept"""
    ties_kept: int | None = None
    """how many of the rows exactly at the threshold are kept, smallest uids first; None: all"""

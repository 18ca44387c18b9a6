"""A cut through a table's scores: what reaches the threshold is kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32] | npt.NDArray[np.float64]


@dataclass(frozen=True)
class Cut:
    threshold: float
    """infinity where nothing is kept"""
    ties_kept: int | None = None
    """how many of the rows exactly at the threshold are kept, smallest uids first; None: all"""
    at_most: bool = False
    """the other way round: what does not exceed the threshold is kept"""

    def passed(self, scores: Scores) -> int:
        """How many of these scores, all finite, are kept."""
        threshold = np.float64(self.threshold)  # a plain float would be rounded to the scores' float32
        if self.at_most:
            return int(np.count_nonzero(scores <= threshold))
        if self.ties_kept is None:
            return int(np.count_nonzero(scores >= threshold))
        return int(np.count_nonzero(scores > threshold)) + self.ties_kept

"""A cut as it was made for one group of rows: what reaches the threshold is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.filtering.estimate.mismatch import Estimate
from pipeline.filtering.scores import Scale, Scores


@dataclass(frozen=True)
class MadeCut:
    threshold: float
    """infinity where nothing is kept"""
    ties_kept: int | None = None
    """how many of the rows exactly at the threshold are kept, smallest uids first; None: all"""
    at_most: bool = False
    """the other way round: what does not exceed the threshold is kept"""
    estimate: Estimate | None = None
    """how many of the kept pairs are mismatched; None where that was not asked for"""
    scales: Mapping[str, Scale] | None = None
    """of the columns of a weighted sum"""

    def passed(self, scores: Scores) -> int:
        """How many of these scores, all finite, are kept."""
        threshold = np.float64(self.threshold)  # a plain float would be rounded to the scores' float32
        if self.at_most:
            return int(np.count_nonzero(scores <= threshold))
        if self.ties_kept is None:
            return int(np.count_nonzero(scores >= threshold))
        return int(np.count_nonzero(scores > threshold)) + self.ties_kept

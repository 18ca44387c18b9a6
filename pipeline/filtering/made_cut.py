"""A cut for one group of rows: rows that reach its threshold are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.filtering.certified.certificate import Certificate
from pipeline.filtering.scores import Scale, Scores
from pipeline.mismatch.estimate import Estimate


@dataclass(frozen=True)
class MadeCut:
    threshold: float
    """infinity if nothing is kept"""
    ties_kept: int | None = None
    """how many of the rows exactly at the threshold are kept, smallest uids first; None: all"""
    at_most: bool = False
    """the other direction: rows that do not exceed the threshold are kept"""
    estimate: Estimate | None = None
    """how many of the kept pairs are mismatched; None if no estimate was requested"""
    certificate: Certificate | None = None
    """what labels certify about the kept pairs; None without labels"""
    scales: Mapping[str, Scale] | None = None
    """scales of the columns of a weighted sum"""

    def passed(self, scores: Scores) -> int:
        """How many of these scores are kept. All scores must be finite."""
        threshold = np.float64(self.threshold)  # a plain float would be rounded to the scores' float32
        if self.at_most:
            return int(np.count_nonzero(scores <= threshold))
        if self.ties_kept is None:
            return int(np.count_nonzero(scores >= threshold))
        return int(np.count_nonzero(scores > threshold)) + self.ties_kept

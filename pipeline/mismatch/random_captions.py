"""The share of mismatched pairs above each cut, if wrong captions are random ones: target-decoy estimation.

Of pairs with a wrong caption, as many score below the median of the decoys as above it; of matched pairs, hardly any
does. So twice the number of pairs below the median is the number of mismatched ones (Storey and Tibshirani 2003,
"Statistical significance for genomewide studies"). Above a cut, they are as frequent as decoys are (Elias and Gygi
2007, "Target-decoy search strategy"). Both are counted in each stratum of captions (`histograms`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.mismatch.histograms import Counts, Histograms, below

MIDDLE = 0.5
"""the quantile of the decoys' scores below which pairs count as mismatched"""

# The lowest cut with a small enough estimate is one where the estimate happens to be low. One more mismatched pair
# makes up for it, as is usual (He et al. 2015, arXiv 1501.00537).
_ONE_MORE = 1

Shares = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RandomCaptions:
    share: float
    """of all pairs: those with a random caption; above 1 by chance"""
    mismatched: Shares
    """[B + 1], of the pairs that reach each edge"""
    decoys: Shares
    """[B + 1], of the mismatched pairs: those that reach each edge"""


def fractions(counted: Histograms, quantile: float = MIDDLE) -> RandomCaptions:
    """Estimates the share above each edge, [B + 1].

    Args:
        quantile: lower ones are less disturbed by matched pairs with low scores, but count fewer pairs.
    """
    pairs, decoys = below(counted.pairs), _shares_below(counted.random)
    stratum = np.arange(len(decoys))
    middle = (decoys >= quantile).argmax(axis=1)
    wrong_K = pairs[stratum, middle] / decoys[stratum, middle]
    wrong = wrong_K @ (1 - decoys)
    kept = np.maximum(counted.kept, 1e-9)
    total = max(float(wrong_K.sum()), 1e-9)
    return RandomCaptions(total / kept[0], (wrong + _ONE_MORE) / kept, wrong / total)


def _shares_below(random: Counts) -> Shares:
    """The share of each stratum's decoys below each edge, [K, B + 1]; of all decoys where a stratum has none."""
    counts, all_strata = below(random), below(random.sum(axis=0))
    has_decoys = counts[:, -1:] > 0
    shares: Shares = np.where(has_decoys, counts, all_strata) / np.where(has_decoys, counts[:, -1:], all_strata[-1])
    return shares

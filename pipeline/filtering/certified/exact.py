"""How likely labels are, if too many pairs are wrong: the exact test behind a certified cut.

Of each stratum a simple random sample without replacement is labelled: the number of wrong labels is hypergeometric.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

_SPLITS = 400
"""ways to divide the wrong pairs between two strata; where there are more, the bound lies slightly above the maximum"""


@dataclass(frozen=True)
class Seen:
    """The labelled sample of one stratum."""

    pairs: int
    """pairs in the stratum"""
    labelled: int
    wrong: int
    """of the labelled"""


def chance(strata: Sequence[Seen], fraction: float) -> float:
    """The largest probability of so few wrong labels if more than `fraction` of all pairs of the strata are wrong.

    A p-value, never below the exact one. Several samples are compared by the number of wrong pairs that they estimate.
    The wrong pairs may lie in the two strata in any proportion; the probability is the largest over these.

    `strata`: one or two. A stratum of pairs without any label is taken as wholly wrong, as far as possible.
    """
    strata = [stratum for stratum in strata if stratum.pairs]
    total = sum(stratum.pairs for stratum in strata)
    least = math.floor(fraction * total + 1e-9) + 1  # the smallest number of wrong pairs that is too many
    if least > total:
        return 0.0
    if any(not stratum.labelled for stratum in strata):
        strata = [stratum for stratum in strata if stratum.labelled]
        least = max(0, least - (total - sum(stratum.pairs for stratum in strata)))
        if not strata:
            return 1.0
    if len(strata) == 1:
        (only,) = strata
        return float(_at_most(only, np.array([least]), only.wrong)[-1, 0])
    first, second = strata
    return _of_two(first, second, least)


def _of_two(first: Seen, second: Seen, least: int) -> float:
    low, high = max(0, least - second.pairs), min(first.pairs, least)
    edges = np.unique(np.linspace(low, high + 1, min(_SPLITS, high - low + 1) + 1).astype(np.int64))
    # For a range of splits: the fewest wrong pairs that either stratum has in it. Fewer make few wrong labels likelier.
    of_first, of_second = edges[:-1], least - (edges[1:] - 1)
    weights = first.pairs / first.labelled, second.pairs / second.labelled
    estimated = weights[0] * first.wrong + weights[1] * second.wrong
    most = min(first.labelled, int(estimated / weights[0] + 1e-9))
    rest = [
        min(second.labelled, int((estimated - weights[0] * wrong) / weights[1] + 1e-9)) for wrong in range(most + 1)
    ]
    exactly, at_most = _exactly(first, of_first, most), _at_most(second, of_second, rest[0])
    total_G: Floats = (exactly * at_most[rest]).sum(axis=0)
    return float(min(1.0, total_G.max()))


def _at_most(stratum: Seen, wrong_G: Counts, most: int) -> Floats:
    """The probability of at most 0, 1, …, `most` wrong labels, for each number of wrong pairs, [G] -> [most + 1, G]."""
    total: Floats = np.cumsum(_exactly(stratum, wrong_G, most), axis=0)
    return total.clip(0, 1)


def _exactly(stratum: Seen, wrong_G: Counts, most: int) -> Floats:
    """The hypergeometric probability of exactly 0, 1, …, `most` wrong labels, [G] -> [most + 1, G]."""
    labels_L1 = np.arange(most + 1)[:, None]
    chosen_LG = _log_choose(wrong_G, labels_L1) + _log_choose(stratum.pairs - wrong_G, stratum.labelled - labels_L1)
    probability_LG: Floats = np.exp(chosen_LG - _log_choose(np.array(stratum.pairs), np.array(stratum.labelled)))
    return probability_LG


def _log_choose(of: Counts, chosen: Counts) -> Floats:
    """log(of choose chosen), elementwise; minus infinity where there are not so many."""
    enough = np.maximum(of, chosen)
    logs: Floats = _log_factorial(enough) - _log_factorial(chosen) - _log_factorial(enough - chosen)
    return np.where(of >= chosen, logs, -np.inf)


def _log_factorial(of: Counts) -> Floats:
    """log(of!), elementwise; from a table, and beyond it by Stirling's series, whose error is below 1e-16 there."""
    x = np.maximum(of, 1).astype(np.float64)
    series = x * np.log(x) - x + 0.5 * np.log(2 * np.pi * x) + 1 / (12 * x) - 1 / (360 * x**3)
    logs: Floats = np.where(
        of < len(_LOG_FACTORIALS), _LOG_FACTORIALS[np.minimum(of, len(_LOG_FACTORIALS) - 1)], series
    )
    return logs


_LOG_FACTORIALS: Floats = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, 1024)))])

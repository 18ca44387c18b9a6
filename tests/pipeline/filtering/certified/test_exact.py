"""The test behind a certified cut: against figures that can be worked out, and by counting every possible sample."""

from __future__ import annotations

from itertools import product
from math import comb

import pytest

from pipeline.filtering.certified.exact import Seen, chance


def exactly(stratum: Seen, wrong: int, labels: int) -> float:
    """The hypergeometric probability, in whole numbers."""
    right = stratum.pairs - wrong
    return comb(wrong, labels) * comb(right, stratum.labelled - labels) / comb(stratum.pairs, stratum.labelled)


def largest(strata: list[Seen], fraction: float) -> float:
    """The largest probability over every way to have just too many wrong pairs, counted out."""
    least = int(fraction * sum(stratum.pairs for stratum in strata)) + 1
    observed = sum(stratum.pairs / stratum.labelled * stratum.wrong for stratum in strata)
    best = 0.0
    for split in product(*(range(stratum.pairs + 1) for stratum in strata)):
        if sum(split) != least:
            continue
        total = 0.0
        for labels in product(*(range(stratum.labelled + 1) for stratum in strata)):
            weighted = sum(stratum.pairs / stratum.labelled * x for stratum, x in zip(strata, labels, strict=True))
            if weighted <= observed + 1e-9:
                chances = [exactly(*each) for each in zip(strata, split, labels, strict=True)]
                total += chances[0] * (chances[1] if len(chances) > 1 else 1)
        best = max(best, total)
    return best


@pytest.mark.parametrize(
    ("strata", "fraction"),
    [
        ([Seen(60, 20, 0)], 0.1),
        ([Seen(60, 20, 2)], 0.1),
        ([Seen(60, 60, 5)], 0.1),
        ([Seen(30, 15, 0), Seen(30, 6, 0)], 0.1),
        ([Seen(30, 15, 1), Seen(30, 6, 1)], 0.2),
        ([Seen(40, 10, 0), Seen(10, 8, 3)], 0.3),
    ],
)
def test_it_is_the_largest_probability_of_so_few_wrong_labels(strata: list[Seen], fraction: float) -> None:
    assert chance(strata, fraction) == pytest.approx(largest(strata, fraction), rel=1e-9)


def test_a_large_table_needs_59_right_labels_for_a_twentieth() -> None:
    assert chance([Seen(10**7, 59, 0)], 0.05) == pytest.approx(0.95**59, rel=1e-3)
    assert chance([Seen(10**7, 58, 0)], 0.05) > 0.05


def test_where_splits_are_too_many_to_try_all_the_bound_lies_above_and_near() -> None:
    tried = chance([Seen(3000, 160, 2), Seen(3000, 40, 1)], 0.1)
    every = max(
        sum(
            exactly(Seen(3000, 160, 0), split, x)
            * sum(exactly(Seen(3000, 40, 0), 601 - split, y) for y in range(41) if 18.75 * x + 75 * y <= 112.5 + 1e-9)
            for x in range(7)
        )
        for split in range(0, 602, 5)
    )
    assert every <= tried <= 1.05 * every


@pytest.mark.parametrize(
    ("strata", "expected"),
    [
        ([Seen(100, 100, 5)], 0.0),  # all are labelled, and not too many are wrong
        ([Seen(100, 100, 6)], 1.0),
        ([Seen(100, 0, 0)], 1.0),
        ([Seen(0, 0, 0), Seen(100, 0, 0)], 1.0),
        ([Seen(100, 60, 0), Seen(100, 0, 0)], 1.0),  # every pair of the second may be wrong
    ],
)
def test_what_is_certain(strata: list[Seen], expected: float) -> None:
    assert chance(strata, 0.05) == pytest.approx(expected)

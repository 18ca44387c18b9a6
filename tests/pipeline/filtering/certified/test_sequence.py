"""The sequence of cuts: it is rarely wrong, whatever is wrong with the captions, and keeps what labels can tell."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.filtering.certified.design import Design, candidates, design, kept_share, uniform
from pipeline.filtering.certified.sequence import Labelled, certify, more_labels
from pipeline.mismatch.pairs import Pairs
from tests.vectors import simulated

COUNT, RUNS = 3000, 100


def labels_of(scores: np.ndarray, wrong: np.ndarray, made: Design, rng: np.random.Generator) -> Labelled:
    drawn, above = [], np.inf
    for stratum in made.strata:
        inside = np.flatnonzero((scores >= stratum.lowest) & (scores < above))
        drawn.append(rng.choice(inside, stratum.drawn, replace=False))
        above = stratum.lowest
    rows = np.concatenate(drawn)
    return Labelled(scores[rows].astype(np.float64), wrong[rows])


def worst(scores: np.ndarray, made: Design, fraction: float, place: int) -> np.ndarray:
    """Wrong pairs so that the cut at `place` is the first that has too many: its sequence is tempted most there."""
    cuts = candidates(scores, made.strata)
    wrong = np.zeros(len(scores), bool)
    kept = np.flatnonzero(scores >= cuts[place])
    stricter = np.flatnonzero(scores >= cuts[place - 1]) if place else np.empty(0, np.intp)
    added = np.setdiff1d(kept, stricter)
    needed = int(fraction * len(kept)) + 1
    wrong[added[:needed]] = True
    wrong[stricter[: max(0, needed - len(added))]] = True
    wrong[scores < cuts[place]] = True
    return wrong


@pytest.mark.parametrize("share", [None, 0.6])
@pytest.mark.parametrize("place", [10, 19, 20, 30, 39])
def test_a_wrong_certificate_is_rare_wherever_the_wrong_pairs_lie(share: float | None, place: int) -> None:
    scores = np.sort(np.random.default_rng(0).normal(size=COUNT)).astype(np.float32)
    made = design(scores, 200, share)
    wrong = worst(scores, made, 0.05, place)
    violations = 0
    for seed in range(RUNS):
        found = certify(scores, made, labels_of(scores, wrong, made, np.random.default_rng(seed)), 0.05).certified
        violations += found is not None and wrong[scores >= found.threshold].mean() > 0.05
    assert violations <= 13  # of 100 at 5 %: more by chance once in two thousand


def test_with_no_wrong_pair_everything_is_certified() -> None:
    scores = np.random.default_rng(0).normal(size=COUNT).astype(np.float32)
    for made in (design(scores, 200, None), uniform(scores, 200)):
        labels = labels_of(scores, np.zeros(COUNT, bool), made, np.random.default_rng(1))
        found = certify(scores, made, labels, 0.05).certified
        assert found is not None
        assert found.threshold == scores.min()


def test_wrong_captions_at_random_cost_little() -> None:
    pairs, wrong = simulated(COUNT, 0.3, seed=1)
    scores = pairs.cosines()
    share = kept_share(pairs, 0.05, seed=0)
    assert share == pytest.approx(0.7 / 0.95, abs=0.03)
    kept = []
    for seed in range(20):
        made = design(scores, 200, share)
        found = certify(scores, made, labels_of(scores, wrong, made, np.random.default_rng(seed)), 0.05).certified
        kept.append(0.0 if found is None else float((scores >= found.threshold).mean()))
    assert np.mean(kept) > 0.9 * 0.7 / 0.95


def test_shuffles_that_do_not_explain_the_low_scores_do_not_place_the_labels() -> None:
    pairs, _ = simulated(COUNT, 0.3, seed=1, similar=True)
    assert kept_share(pairs, 0.05, seed=0) is None
    few = np.arange(100)
    assert kept_share(Pairs(pairs.image_vectors[:100], pairs.text_vectors[:100], few, few), 0.05, 0) is None


def evenly(scores: np.ndarray, count: int, wrong: int) -> Labelled:
    """Labels of pairs at equal distances by rank, as a draw gives them on average; so are the wrong ones."""
    rows = np.linspace(0, len(scores) - 1, count).astype(np.intp)
    is_wrong = np.zeros(count, bool)
    is_wrong[np.linspace(0, count - 1, wrong + 2).astype(np.intp)[1:-1]] = True
    return Labelled(scores[rows], is_wrong)


def test_it_says_how_many_more_labels_would_certify() -> None:
    scores = np.arange(10_000, dtype=np.float64)
    few = certify(scores, uniform(scores, 100), evenly(scores, 100, 3), 0.05)
    assert few.certified is None
    more = more_labels(few, uniform(scores, 100), 0.05)
    assert more is not None
    assert 200 < more < 1000
    assert certify(scores, uniform(scores, 1000), evenly(scores, 1000, 30), 0.05).certified is not None


def test_no_number_of_labels_certifies_what_is_not_so() -> None:
    scores = np.arange(1000, dtype=np.float64)
    wrong = np.arange(1000) % 2 == 0
    made = uniform(scores, 200)
    found = certify(scores, made, labels_of(scores, wrong, made, np.random.default_rng(0)), 0.05)
    assert (found.certified, more_labels(found, made, 0.05)) == (None, None)


def test_equal_scores_are_kept_or_dropped_together() -> None:
    scores = np.repeat([1.0, 2.0, 3.0], 500)
    made = design(scores, 200, None)
    assert [stratum.pairs for stratum in made.strata] == [1000, 500]
    assert candidates(scores, made.strata).tolist() == [3.0, 2.0, 1.0]

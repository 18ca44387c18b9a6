from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.filtering.estimate import mismatch
from pipeline.filtering.estimate.mismatch import CannotTellError
from pipeline.filtering.estimate.shuffles import Pairs
from tests.vectors import DIMENSION, simulated, unit


def kept(pairs: Pairs, is_wrong: np.ndarray, fraction: float) -> tuple[float, float, mismatch.Estimate]:
    """(true share of wrong pairs above the cut, share of the right ones that are above it, the estimate)."""
    estimate = mismatch.estimate(pairs, fraction, seed=0)
    above = pairs.cosines() >= estimate.threshold
    return float(is_wrong[above].mean()), float(above[~is_wrong].mean()), estimate


@pytest.mark.parametrize("wrong", [0.1, 0.3, 0.6])
def test_random_captions_are_cut_to_the_share_asked_for(wrong: float) -> None:
    pairs, is_wrong = simulated(8000, wrong, seed=1)
    true, recall, estimate = kept(pairs, is_wrong, 0.05)
    assert 0.02 < true < 0.06
    assert recall > 0.97
    assert estimate.mismatch_fraction == pytest.approx(0.05, abs=0.003)
    assert estimate.interval[0] < estimate.mismatch_fraction < estimate.interval[1] < 0.08
    assert estimate.share_random == pytest.approx(wrong, abs=0.02)


@pytest.mark.parametrize("wrong", [0.1, 0.3])
def test_captions_of_similar_images_are_not_taken_for_right_ones(wrong: float) -> None:
    pairs, is_wrong = simulated(8000, wrong, seed=2, similar=True)
    true, recall, estimate = kept(pairs, is_wrong, 0.05)
    assert true < 0.065
    assert recall > 0.5
    assert estimate.null == "similar"
    assert estimate.random_alone < 0.5 * estimate.mismatch_fraction  # the plain null would have let them pass


def test_pairs_without_a_wrong_one_are_kept_whole() -> None:
    pairs, is_wrong = simulated(3000, 0.0, seed=3)
    assert kept(pairs, is_wrong, 0.05)[1] == 1.0


def test_the_same_seed_gives_the_same_cut() -> None:
    pairs, _ = simulated(2000, 0.3, seed=4)
    assert mismatch.estimate(pairs, 0.05, seed=7) == mismatch.estimate(pairs, 0.05, seed=7)


def test_the_curve_says_of_each_cut_what_the_estimate_says_of_its_own() -> None:
    pairs, _ = simulated(2000, 0.3, seed=3)
    curve = mismatch.curve(pairs, seed=7)
    for fraction in (0.02, 0.1):
        found = mismatch.estimate(pairs, fraction, seed=7)
        (at,) = np.flatnonzero(curve.thresholds == found.threshold)
        assert curve.mismatched[at] == found.mismatch_fraction
        assert curve.random_alone[at] == found.random_alone
        assert curve.kept[at] == pytest.approx(np.mean(pairs.cosines() >= found.threshold), abs=1e-3)
    assert curve.kept[0] == 1
    assert curve.mismatched[0] == pytest.approx(0.3, abs=0.05)


def test_few_pairs_are_not_enough() -> None:
    pairs, _ = simulated(mismatch.MIN_PAIRS - 4, 0.3, seed=5)
    with pytest.raises(CannotTellError, match=r"there are 296 pairs, but at least 300 are needed"):
        mismatch.estimate(pairs, 0.05, seed=0)


@pytest.mark.parametrize("wrong", [0.99, 1.0])
def test_captions_that_are_all_wrong_leave_nothing_to_tell(wrong: float) -> None:
    with pytest.raises(CannotTellError):
        mismatch.estimate(simulated(4000, wrong, seed=6)[0], 0.05, seed=0)


def test_a_model_that_does_not_tell_pairs_apart_cannot_tell() -> None:
    rng = np.random.default_rng(7)
    ids = np.arange(4000)
    blind = Pairs(unit(rng.standard_normal((4000, DIMENSION))), unit(rng.standard_normal((4000, DIMENSION))), ids, ids)
    with pytest.raises(CannotTellError):
        mismatch.estimate(blind, 0.05, seed=0)


@pytest.mark.parametrize("similar", [False, True])
def test_a_model_that_mixes_up_similar_images_cannot_tell(similar: bool) -> None:
    """Captions of similar images score as right ones do: whether there are any, nothing in the scores shows."""
    with pytest.raises(CannotTellError, match="captions of similar images score as high as right captions"):
        mismatch.estimate(simulated(4000, 0.4, seed=3, similar=similar, noise=1.4)[0], 0.05, seed=0)


def test_similar_captions_among_few_pairs_are_beyond_it() -> None:
    with pytest.raises(CannotTellError, match="captions of similar images"):
        mismatch.estimate(simulated(800, 0.4, seed=8, similar=True)[0], 0.05, seed=0)


def test_one_image_under_all_captions_cannot_be_shuffled() -> None:
    pairs, _ = simulated(1000, 0.3, seed=9)
    with pytest.raises(CannotTellError, match="the same image or the same caption"):
        mismatch.estimate(replace(pairs, images=np.zeros(1000, np.int64)), 0.05, seed=0)


@pytest.mark.parametrize(("confidence", "least", "most"), [(0.95, 14, 16), (0.5, 4, 12)])
def test_an_interval_covers_as_often_as_it_says_what_is_estimated_of_all_pairs(
    monkeypatch: pytest.MonkeyPatch, confidence: float, least: int, most: int
) -> None:
    """That of sixteen samples, of the estimate from sixteen times as many pairs; the truth lies below its upper end."""
    monkeypatch.setattr(mismatch, "CONFIDENCE", confidence)
    monkeypatch.setattr(mismatch, "REPLICATES", 60)
    of_all = mismatch.curve(simulated(16_000, 0.3, seed=99)[0], seed=0)
    covers = above = 0
    for seed in range(16):
        pairs, is_wrong = simulated(1000, 0.3, seed)
        found = mismatch.estimate(pairs, 0.1, seed=0)
        low, high = found.interval
        covers += low <= np.interp(found.threshold, of_all.thresholds, of_all.mismatched) <= high
        above += is_wrong[pairs.cosines() >= found.threshold].mean() <= high
    assert least <= covers <= most
    assert above >= 15


def test_an_interval_that_reaches_far_beyond_the_fraction_asked_for_is_refused() -> None:
    with pytest.raises(
        CannotTellError,
        match=r"with 300 pairs the estimate is too uncertain: at the cut for 2\.00%, between 1\.\d\d% and \d+\.\d\d% ",
    ):
        mismatch.estimate(simulated(300, 0.3, seed=0)[0], 0.02, seed=0)


def test_too_few_matched_pairs_are_not_enough() -> None:
    with pytest.raises(CannotTellError, match=r"only about 99 of 1000 pairs score higher than with shuffled captions"):
        mismatch.estimate(simulated(1000, 0.9, seed=1)[0], 0.2, seed=0)


@pytest.mark.parametrize("seed", [0, 1, 5])
def test_the_estimate_is_never_below_what_captions_dealt_at_random_alone_would_make(seed: int) -> None:
    curve = mismatch.curve(simulated(1200, 0.6, seed)[0], seed=0)
    alone = curve.random_alone.clip(0, 1)
    assert (curve.mismatched >= alone).all()
    assert (curve.mismatched == alone).any(), "random captions decide nowhere: this shows nothing"


def test_an_interval_counts_images_not_pairs() -> None:
    """Each pair eight times, under the same images, says no more than once."""
    once, _ = simulated(1200, 0.3, seed=10)
    eight = np.tile(np.arange(1200), 8)
    often = Pairs(once.image_vectors[eight], once.text_vectors[eight], once.images[eight], once.captions[eight])

    def width(pairs: Pairs) -> float:
        low, high = mismatch.estimate(pairs, 0.05, seed=0).interval
        return high - low

    assert width(often) > 0.7 * width(once)

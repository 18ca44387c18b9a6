"""Estimates on simulated vectors whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.mismatch import estimate as estimates
from pipeline.mismatch.estimate import ASSUMPTIONS, Assumption, CannotTellError, Estimate, curves, estimate, examine
from pipeline.mismatch.pairs import Pairs
from tests.vectors import DIMENSION, normalised_alone, simulated, unit


def kept(
    pairs: Pairs, is_wrong: np.ndarray, fraction: float, assumes: Assumption = "random"
) -> tuple[float, float, Estimate]:
    """(true share of wrong pairs above the cut, share of the right ones that are above it, the estimate)."""
    found = estimate(pairs, fraction, 0, assumes)
    above = pairs.cosines() >= found.threshold
    return float(is_wrong[above].mean()), float(above[~is_wrong].mean()), found


@pytest.mark.parametrize("wrong", [0.1, 0.3, 0.6])
def test_random_captions_are_cut_to_the_share_asked_for(wrong: float) -> None:
    pairs, is_wrong = simulated(8000, wrong, seed=1)
    true, recall, found = kept(pairs, is_wrong, 0.05)
    assert true == pytest.approx(0.05, abs=0.01)
    assert recall > 0.97
    assert found.mismatch_fraction == pytest.approx(0.05, abs=0.001)
    assert found.interval[0] < true < found.interval[1] < 0.08
    assert found.share_random == pytest.approx(wrong, abs=0.02)
    assert found.pi0 == found.share_random
    assert found.mismatch_upper_any > true
    assert (found.assumes, found.contradicted) == ("random", None)


@pytest.mark.parametrize("wrong", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("similar", [False, True])
def test_the_bound_holds_whatever_image_the_wrong_captions_are_of(wrong: float, similar: bool) -> None:
    pairs, is_wrong = simulated(4000, wrong, seed=2, similar=similar)
    true, _, found = kept(pairs, is_wrong, 0.05)
    assert found.mismatch_upper_any >= true
    assert found.mismatch_upper_any < true + 0.25


def test_a_cut_by_the_bound_holds_for_captions_of_similar_images() -> None:
    pairs, is_wrong = simulated(8000, 0.3, seed=2, similar=True)
    assert kept(pairs, is_wrong, 0.05)[0] > 0.1  # the assumption is wrong
    true, recall, found = kept(pairs, is_wrong, 0.05, "any")
    assert true < 0.05
    assert recall > 0.3
    assert found.mismatch_fraction == found.mismatch_upper_any <= 0.05
    assert found.interval == (0.0, found.mismatch_upper_any)
    assert found.pi0 >= 0.3


def test_captions_of_similar_images_are_cut_by_their_own_decoys() -> None:
    pairs, is_wrong = simulated(8000, 0.3, seed=4, similar=True)
    true, recall, found = kept(pairs, is_wrong, 0.05, "similar")
    assert true < 0.06
    assert recall > 0.6
    assert found.interval[0] <= true <= found.interval[1]
    assert found.pi0 == pytest.approx(0.3, abs=0.1)


def test_scores_that_no_random_caption_has_contradict_the_assumption() -> None:
    assert estimate(simulated(4000, 0.4, seed=3, similar=True)[0], 0.05, 0).contradicted == pytest.approx(0.4, abs=0.3)
    assert estimate(simulated(4000, 0.4, seed=3)[0], 0.05, 0).contradicted is None


def test_random_captions_contradict_that_all_are_of_similar_images() -> None:
    pairs, _ = simulated(4000, 0.3, seed=3)
    assert examine(pairs, 0).contradicted("similar") == pytest.approx(0.3, abs=0.03)
    assert examine(pairs, 0).contradicted("any") is None
    similar, _ = simulated(4000, 0.3, seed=3, similar=True)
    assert examine(similar, 0).contradicted("similar") is None


def test_a_normalised_score_contradicts_what_the_cosine_contradicts() -> None:
    """Normalised scores of matched pairs are not symmetric, so that their lower part says nothing."""
    for similar in (False, True):
        pairs, _ = simulated(2000, 0.3, seed=3, similar=similar)
        by_score = replace(pairs, score=normalised_alone(pairs))
        assert (examine(by_score, 0).contradicted("random") is None) == (not similar)


def test_pairs_without_a_wrong_one_are_kept_whole() -> None:
    pairs, is_wrong = simulated(3000, 0.0, seed=3)
    _, recall, found = kept(pairs, is_wrong, 0.05)
    assert recall == 1.0
    assert found.mismatch_fraction < 0.005
    assert found.interval[1] < 0.02


@pytest.mark.parametrize("assumes", ASSUMPTIONS)
def test_the_same_seed_gives_the_same_cut(assumes: Assumption) -> None:
    pairs, _ = simulated(2000, 0.3, seed=4)
    assert estimate(pairs, 0.05, 7, assumes) == estimate(pairs, 0.05, 7, assumes)


def test_the_curves_say_of_each_cut_what_the_estimate_says_of_its_own() -> None:
    pairs, _ = simulated(2000, 0.3, seed=3)
    of_all = curves(pairs, seed=7)
    for assumes in ASSUMPTIONS:
        found = estimate(pairs, 0.1, 7, assumes)
        (at,) = np.flatnonzero(of_all.thresholds == found.threshold)
        assert of_all.mismatched[assumes][at] == found.mismatch_fraction
        assert of_all.kept[at] == pytest.approx(np.mean(pairs.cosines() >= found.threshold), abs=1e-3)
    assert of_all.kept[0] == 1
    assert of_all.mismatched["random"][0] == pytest.approx(0.3, abs=0.05)
    assert (of_all.mismatched["any"] >= of_all.mismatched["random"].clip(0, 1)).all()


def test_one_examination_gives_curves_and_any_number_of_cuts() -> None:
    pairs, _ = simulated(2000, 0.3, seed=3)
    examined = examine(pairs, 7)
    assert examined.estimate(0.05) == examined.estimate(0.05) == estimate(pairs, 0.05, 7)
    assert examined.estimate(0.1, "any") == estimate(pairs, 0.1, 7, "any")
    assert (examined.curves().mismatched["any"] == curves(pairs, 7).mismatched["any"]).all()


@pytest.mark.parametrize("level", [0.35, 0.45])
def test_captions_that_score_alike_with_every_image_are_counted(level: float) -> None:
    """A tenth of the captions are like "image for sale": near the mean of all images."""
    pairs, _ = simulated(8000, 0.0, seed=5)
    rng = np.random.default_rng(5)
    shared = unit(rng.standard_normal(DIMENSION))
    images, texts = (unit(vectors + 0.6 * shared) for vectors in (pairs.image_vectors, pairs.text_vectors))
    is_generic = rng.random(8000) < 0.1
    mean = images.mean(axis=0)
    along, q = unit(mean), level / np.linalg.norm(mean)
    across = rng.standard_normal((8000, DIMENSION))
    across = unit(across - (across @ along)[:, None] * along)
    texts = np.where(is_generic[:, None], q * along + np.sqrt(1 - q * q) * across, texts)
    true, recall, found = kept(replace(pairs, image_vectors=images, text_vectors=texts), is_generic, 0.05)
    assert true < 0.06
    assert recall > 0.9
    assert found.pi0 == pytest.approx(0.1, abs=0.02)


def test_few_pairs_are_not_enough() -> None:
    pairs, _ = simulated(estimates.MIN_PAIRS - 4, 0.3, seed=5)
    with pytest.raises(CannotTellError, match=r"there are 296 pairs, but at least 300 are needed"):
        estimate(pairs, 0.05, 0)


@pytest.mark.parametrize("wrong", [0.99, 1.0])
def test_captions_that_are_all_wrong_leave_nothing_to_tell(wrong: float) -> None:
    with pytest.raises(CannotTellError, match=r"only about \d+ of 4000 pairs score higher"):
        estimate(simulated(4000, wrong, seed=6)[0], 0.05, 0)


def test_a_model_that_does_not_tell_pairs_apart_cannot_tell() -> None:
    vectors = unit(np.random.default_rng(7).standard_normal((2, 4000, DIMENSION)))
    with pytest.raises(CannotTellError):
        estimate(Pairs(vectors[0], vectors[1], np.arange(4000), np.arange(4000)), 0.05, 0)


def test_a_model_that_mixes_up_similar_images_answers_for_random_captions_and_bounds_nothing_else() -> None:
    pairs, is_wrong = simulated(4000, 0.4, seed=3, noise=1.4)
    true, _, found = kept(pairs, is_wrong, 0.1)
    assert true < 0.13
    assert found.mismatch_upper_any > 0.2
    with pytest.raises(
        CannotTellError, match=r"even of the pairs that the best cut keeps, \d+\.\d\d% could be mismatched"
    ):
        estimate(pairs, 0.01, 0, "any")


def test_one_image_under_all_captions_cannot_be_dealt() -> None:
    pairs, _ = simulated(1000, 0.3, seed=9)
    with pytest.raises(CannotTellError, match="the same image or the same caption"):
        estimate(replace(pairs, images=np.zeros(1000, np.int64)), 0.05, 0)


def test_few_distinct_images_bound_nothing() -> None:
    once, _ = simulated(200, 0.2, seed=9)
    five = np.tile(np.arange(200), 5)
    often = Pairs(once.image_vectors[five], once.text_vectors[five], five, five)
    assert estimate(often, 0.05, 0).mismatch_upper_any > 0.8
    with pytest.raises(CannotTellError, match="of about 200 distinct images, and at least 300"):
        estimate(often, 0.05, 0, "any")


@pytest.mark.parametrize("share", [0.995, 1.0])
def test_a_score_that_nearly_all_pairs_have_is_named(share: float) -> None:
    pairs, _ = simulated(1000, 0.3, seed=9)
    same = np.arange(1000) < share * 1000
    images, texts = (np.where(same[:, None], v[0], v) for v in (pairs.image_vectors, pairs.text_vectors))
    with pytest.raises(CannotTellError, match=r"(99\.5|100\.0)% of the pairs have the same score, -0\.\d+"):
        estimate(replace(pairs, image_vectors=images, text_vectors=texts), 0.05, 0)


def test_an_interval_holds_the_true_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.mismatch.interval.REPLICATES", 60)
    held = 0
    for seed in range(16):
        pairs, is_wrong = simulated(1000, 0.3, seed)
        true, _, found = kept(pairs, is_wrong, 0.1)
        held += found.interval[0] <= true <= found.interval[1]
        assert found.interval[1] - found.interval[0] < 0.12
    assert held >= 14


def test_the_interval_of_pairs_that_are_all_right_is_narrow() -> None:
    pairs, _ = simulated(1504, 0.0, seed=1)
    found = estimate(pairs, 0.05, 0)
    assert found.interval[0] == 0
    assert found.interval[1] < 0.02


def test_an_interval_counts_images_not_pairs() -> None:
    """Each pair eight times, under the same images, says no more than once."""
    once, _ = simulated(1200, 0.3, seed=10)
    eight = np.tile(np.arange(1200), 8)
    often = Pairs(once.image_vectors[eight], once.text_vectors[eight], once.images[eight], once.captions[eight])

    def width(pairs: Pairs) -> float:
        low, high = estimate(pairs, 0.05, 0).interval
        return high - low

    assert width(often) > 0.6 * width(once)

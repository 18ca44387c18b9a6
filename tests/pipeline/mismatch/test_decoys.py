"""Captions dealt to other images than their own."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.mismatch import decoys, pairs
from pipeline.mismatch.pairs import Pairs
from tests.vectors import unit


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoys, "DECOYS", 2000)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def on_circle(angles: list[float], **ids: np.ndarray) -> Pairs:
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    same = np.arange(len(angles))
    return Pairs(vectors, vectors, **({"images": same, "captions": same} | ids))


def test_no_caption_is_dealt_to_an_equal_image_or_the_image_of_an_equal_caption() -> None:
    """Cosines of one-hot vectors are 1 exactly where a caption met the image it describes, or one equal to it."""
    kinds, every = np.arange(300) % 10, np.arange(300)
    apart = np.concatenate([np.eye(10)[kinds], np.eye(300)], axis=1)  # no image is a copy of another
    for ids in ({"images": kinds, "captions": every}, {"images": every, "captions": kinds}):
        dealt = decoys.dealt_at_random(Pairs(apart, np.pad(np.eye(10)[kinds], ((0, 0), (0, 300))), **ids), rng())
        assert dealt.scores.max() == 0.0
        assert len(dealt) > 1000


def test_no_caption_is_dealt_to_a_near_copy_of_its_image() -> None:
    found = on_circle([0.0, 0.1, 1.0, 1.2])  # cosines .995 and .98
    dealt = decoys.dealt_at_random(found, rng())
    met = set(zip(dealt.images.tolist(), dealt.captions.tolist(), strict=True))
    assert met == {(i, j) for i in range(4) for j in range(4) if i != j} - {(0, 1), (1, 0)}
    near = decoys.dealt_to_near(found, 1, rng())
    np.testing.assert_allclose(sorted(near.first), sorted(np.cos([1.0, 0.9, 0.2, 0.2])), rtol=1e-6)


def test_each_caption_is_dealt_as_often() -> None:
    dealt = decoys.dealt_at_random(on_circle(list(np.linspace(0, 6, 20))), rng())
    assert len(dealt) > 0.9 * decoys.DECOYS
    assert np.bincount(dealt.captions).min() > 0.8 * decoys.DECOYS / 20


def test_decoys_have_the_scores_of_their_rows() -> None:
    found = on_circle(list(np.linspace(0, 6, 20)))
    dealt = decoys.dealt_at_random(found, rng())
    np.testing.assert_array_equal(dealt.scores, found.cosines(dealt.images, dealt.captions))


def test_the_nearest_image_lends_its_caption_and_an_image_near_to_it() -> None:
    near = decoys.dealt_to_near(on_circle([0.0, 0.2, 0.5, 0.9]), 1, rng())
    np.testing.assert_allclose(sorted(near.first), sorted(np.cos([0.2, 0.2, 0.3, 0.4])), rtol=1e-6)
    np.testing.assert_allclose(sorted(near.second), sorted(np.cos([0.5, 0.7])), rtol=1e-6)  # 2 -> 1 -> 0, 3 -> 2 -> 1


def test_a_caption_may_be_that_of_one_of_several_neighbours() -> None:
    near = decoys.dealt_to_near(on_circle(list(0.2 * np.arange(12))), 3, rng())
    assert {round(float(angle) / 0.2) for angle in np.arccos(near.first)} <= {1, 2, 3}
    assert len(np.unique(near.first.round(4))) > 1


def test_an_image_without_another_image_gets_no_caption() -> None:
    found = on_circle([0.0, 0.2, 1.0], captions=np.zeros(3, np.int64))
    assert len(decoys.dealt_to_near(found, 1, rng()).first) == 0


def test_cosines_in_several_blocks_are_those_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = unit(rng().standard_normal((2, 50, 8)))
    found = Pairs(vectors[0], vectors[1], np.arange(50), np.arange(50))
    images, captions = rng().permutation(50), rng(1).permutation(50)
    whole, genericity = found.cosines(images, captions), found.genericity
    monkeypatch.setattr(pairs, "_BLOCK", 7)
    again = Pairs(vectors[0], vectors[1], np.arange(50), np.arange(50))
    np.testing.assert_array_equal(again.cosines(images, captions), whole)
    np.testing.assert_allclose(again.genericity, genericity, rtol=1e-5)
    np.testing.assert_allclose(genericity, (vectors[1] @ vectors[0].T).mean(axis=1), rtol=1e-4, atol=1e-6)

"""Captions dealt to other images than their own."""

from __future__ import annotations

import numpy as np

from pipeline.filtering.estimate import shuffles
from pipeline.filtering.estimate.shuffles import Pairs


def test_shuffles_never_deal_an_equal_image_or_an_equal_caption() -> None:
    """Cosines of one-hot vectors are 1 exactly where a caption met the image it describes, or one equal to it."""
    kinds = np.arange(300) % 10
    pairs = Pairs(np.eye(10)[kinds], np.eye(10)[kinds], images=kinds, captions=np.arange(300))
    assert shuffles.dealt_at_random(pairs, np.random.default_rng(0)).scores.max() == 0.0
    pairs = Pairs(np.eye(10)[kinds], np.eye(10)[kinds], images=np.arange(300), captions=kinds)
    shuffled = shuffles.dealt_at_random(pairs, np.random.default_rng(0))
    assert shuffled.scores.max() == 0.0
    assert len(shuffled.scores) > 1000


def test_the_nearest_image_lends_its_caption() -> None:
    angles = np.array([0.0, 0.1, 1.0, 1.2])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    pairs = Pairs(vectors, vectors, np.arange(4), np.arange(4))
    shuffled = shuffles.dealt_to_nearest(pairs, np.arange(4), np.random.default_rng(0))
    of_image = dict(zip(shuffled.images, shuffled.scores, strict=True))
    np.testing.assert_allclose([of_image[i] for i in range(4)], np.cos([0.1, 0.1, 0.2, 0.2]), rtol=1e-6)


def test_the_nearest_image_is_one_of_another_caption() -> None:
    """The two nearest images have one caption: it is right for both, and is dealt to neither."""
    angles = np.array([0.0, 0.1, 1.0, 1.2])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    pairs = Pairs(vectors, vectors, images=np.arange(4), captions=np.array([7, 7, 8, 9]))
    for seed in range(8):
        shuffled = shuffles.dealt_to_nearest(pairs, np.arange(4), np.random.default_rng(seed))
        of_image = dict(zip(shuffled.images.tolist(), shuffled.scores.tolist(), strict=True))
        (drawn,) = {0, 1} & of_image.keys()
        np.testing.assert_allclose(of_image[drawn], np.cos(1.0 - angles[drawn]), rtol=1e-6)
        assert len(of_image) == 3


def test_images_that_are_equal_are_drawn_once() -> None:
    vectors = np.eye(4)
    pairs = Pairs(vectors, vectors, images=np.array([5, 5, 6, 7]), captions=np.arange(4))
    assert len(shuffles.dealt_to_nearest(pairs, np.arange(4), np.random.default_rng(0)).scores) == 3


def test_cosines_in_several_blocks_are_those_in_one(monkeypatch: object) -> None:
    rng = np.random.default_rng(0)
    pairs = Pairs(rng.standard_normal((50, 8)), rng.standard_normal((50, 8)), np.arange(50), np.arange(50))
    images, captions = rng.permutation(50), rng.permutation(50)
    whole = pairs.cosines(images, captions)
    monkeypatch.setattr(shuffles, "_BLOCK", 7)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(pairs.cosines(images, captions), whole)

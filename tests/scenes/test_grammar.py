"""What may be drawn: the vocabulary's size, the split, and layouts that come true with a margin."""

from collections import Counter
from itertools import combinations
from math import hypot
from random import Random

import pytest

from scenes.captions import describe
from scenes.draw import pixels, render
from scenes.grammar import BACKGROUND_NAMES, COLOUR_NAMES, SHAPES, SIZES, THINGS, THINGS_OF, held_out
from scenes.palette import COLOURS, visible
from scenes.place import sample_picture
from scenes.truth import holds


def pictures(count, split="train"):
    return [sample_picture(Random(f"test/{split}/{i}"), split) for i in range(count)]


def test_vocabulary_is_as_large_as_promised():
    assert len(COLOUR_NAMES) >= 10
    assert len(SHAPES) >= 8
    assert len(SIZES) == 3
    assert len(BACKGROUND_NAMES) >= 2
    assert {len(p.placed) for p in pictures(100)} == {1, 2, 3}


def test_a_sixth_of_all_combinations_is_held_out_evenly():
    held = [thing for thing in THINGS if held_out(thing)]
    assert len(held) * 6 == len(THINGS)
    for attribute in ("colour", "shape", "size"):
        assert len(set(Counter(getattr(thing, attribute) for thing in held).values())) == 1
    assert max(Counter((thing.colour, thing.shape) for thing in held).values()) == 1


def test_things_of_test_scenes_are_never_drawn_in_training():
    trained = {thing for picture in pictures(3000) for thing in picture.scene.things}
    tested = {thing for picture in pictures(1000, "test") for thing in picture.scene.things}
    assert trained == set(THINGS_OF["train"])
    assert tested == set(THINGS_OF["test"])
    assert not trained & tested


@pytest.mark.parametrize("split", ["train", "test"])
def test_captions_are_true_with_a_margin(split):
    for i, picture in enumerate(pictures(2000, split)):
        caption = describe(picture.scene, Random(i))
        assert holds(caption.claims, picture), caption.text


def test_things_lie_inside_apart_and_visible():
    for picture in pictures(1000):
        for placed in picture.placed:
            assert placed.radius < placed.x < 1 - placed.radius
            assert placed.radius < placed.y < 1 - placed.radius
            assert visible(placed.thing.colour, picture.scene.background)
        for a, b in combinations(picture.placed, 2):
            assert hypot(a.x - b.x, a.y - b.y) > a.radius + b.radius


def test_every_thing_changes_the_pixels_where_it_lies():
    for picture in pictures(200):
        drawn = pixels(picture, 64).astype(int)
        assert drawn.shape == (64, 64, 3)
        for placed in picture.placed:
            if placed.thing.shape in ("ring", "crescent"):  # their centres are empty
                continue
            centre = drawn[int(placed.y * 64), int(placed.x * 64)]
            assert abs(centre - COLOURS[placed.thing.colour]).max() <= 12, placed


def test_size_is_a_choice_of_pixels_not_of_content():
    picture = pictures(1)[0]
    assert render(picture, 32).size == (32, 32)
    assert render(picture, 224).size == (224, 224)

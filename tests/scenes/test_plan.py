"""Datasets as planned: deterministic, distinct, with exact shares of wrong captions that are false indeed."""

from collections import Counter
from random import Random

import pytest

from scenes import corrupt
from scenes.captions import describe
from scenes.grammar import THINGS_OF
from scenes.place import sample_picture
from scenes.plan import described, plan
from scenes.truth import clearly_false, holds


def test_equal_seeds_give_equal_plans_and_others_do_not():
    wrong = {"other": 0.2, "attribute": 0.1}
    assert plan(300, 5, "train", wrong) == plan(300, 5, "train", wrong)
    assert plan(50, 5)[0].picture != plan(50, 6)[0].picture


def test_a_longer_plan_begins_with_the_shorter_one():
    assert plan(200, 1, "test")[:50] == plan(50, 1, "test")


def test_a_thousand_test_scenes_have_distinct_captions_each_true_of_its_own_picture_alone():
    rows = plan(1000, 3, "test")
    assert len({row.caption for row in rows}) == 1000
    assert len({row.uid for row in rows}) == len({row.key for row in rows}) == 1000
    assert len({row.picture.scene for row in rows}) == 1000
    by_things = {}
    for index, row in enumerate(rows):
        by_things.setdefault(frozenset(row.picture.scene.things), []).append(index)
    pairs = [describe(row.picture.scene, Random(f"3/test/{i}/words")) for i, row in enumerate(rows)]
    for rivals in by_things.values():
        for i in rivals:
            assert holds(pairs[i].claims, rows[i].picture)
            assert pairs[i].text == rows[i].true_caption
            assert all(clearly_false(pairs[i].claims, rows[j].picture) for j in rivals if j != i)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (None, {"true": 999}),
        ({"other": 0.1}, {"other": 100, "true": 899}),
        (
            {"other": 1 / 3, "similar": 1 / 3, "attribute": 1 / 3},
            {"other": 333, "similar": 333, "attribute": 333},
        ),
        ({"attribute": 1.0}, {"attribute": 999}),
    ],
)
def test_shares_of_wrong_captions_are_exact(wrong, expected):
    assert Counter(row.kind for row in plan(999, 2, "train", wrong)) == expected


def test_another_scenes_caption_is_false_even_where_scenes_are_alike():
    pictures, captions = zip(*(described(0, "train", i) for i in range(50)), strict=True)
    said = [*captions, describe(pictures[0].scene, Random("again"))]
    for i in range(200):
        assert clearly_false(corrupt.other(pictures[0], said, Random(i)).claims, pictures[0])
    with pytest.raises(ValueError, match="none of the 1 captions is false"):
        corrupt.other(pictures[0], [captions[0]], Random(0))


@pytest.mark.parametrize("kind", ["other", "similar", "attribute"])
def test_wrong_rows_carry_the_true_caption_too(kind):
    for row in plan(300, 4, "test", {kind: 1.0}):
        assert row.kind == kind
        assert row.caption != row.true_caption


@pytest.mark.parametrize("kind", ["similar", "attribute"])
def test_wrong_claims_are_clearly_false_and_near(kind):
    for i in range(500):
        picture = sample_picture(Random(i), "train")
        rng = Random(f"wrong{i}")
        wrong = (
            corrupt.similar(picture, "train", rng)
            if kind == "similar"
            else corrupt.attribute(picture, "train", rng, wording=i)
        )
        assert clearly_false(wrong.claims, picture)
        assert wrong.claims.things <= set(THINGS_OF["train"])
        changed = wrong.claims.things - set(picture.scene.things)
        assert len(changed) <= (2 if kind == "similar" else 1)


def test_an_attribute_caption_differs_in_few_words():
    for i in range(300):
        picture, caption = described(0, "test", i)
        wrong = corrupt.attribute(picture, "test", Random(i), f"0/test/{i}/words")
        if wrong.claims.things == caption.claims.things:  # the layout changed: words may trade places
            continue
        said, true = wrong.text.split(), caption.text.split()
        assert 1 <= sum((Counter(said) - Counter(true)).values()) <= 2, (wrong.text, caption.text)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"others": 0.1}, "unknown kind of wrong caption: 'others'"),
        ({"other": 0.7, "similar": 0.4}, "sum to at most 1"),
        ({"other": -0.1}, "lie in 0..1"),
    ],
)
def test_bad_shares_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        plan(10, 0, "train", wrong)

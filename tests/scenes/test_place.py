"""Near misses of a picture: only what was changed differs."""

from dataclasses import replace
from random import Random

import pytest

from scenes import corrupt
from scenes.captions import describe
from scenes.grammar import Beside, Cell, Corner, Line, sample_layout, sample_scene
from scenes.place import Picture, place, rearranged
from scenes.truth import holds


def pictures(kind: type, count: int) -> list[Picture]:
    """Pictures whose layout is of one kind."""
    found, seed = [], 0
    while len(found) < count:
        rng = Random(seed)
        scene = sample_scene(rng, "train")
        layout = sample_layout(rng, len(scene.things))
        picture = place(replace(scene, layout=layout), rng) if isinstance(layout, kind) else None
        found += [picture] if picture else []
        seed += 1
    return found


@pytest.mark.parametrize(("kind", "least"), [(Beside, 200), (Corner, 200), (Line, 60)])
def test_another_layout_moves_the_things_of_a_picture_and_changes_nothing_else(kind: type, least: int) -> None:
    moved = 0
    for number, picture in enumerate(pictures(kind, 200)):
        scene = corrupt.changed(picture.scene, "train", Random(number), ["layout"])
        other = rearranged(scene, picture)
        if other is None:  # things of a line may not fit into each other's places
            continue
        moved += 1
        assert holds(describe(scene, Random(number)).claims, other)
        assert {replace(p, x=0.0, y=0.0) for p in other.placed} == {replace(p, x=0.0, y=0.0) for p in picture.placed}
        assert [placed.thing for placed in other.placed] == list(scene.things)
    assert moved >= least


def test_a_single_thing_is_drawn_anew_in_another_place() -> None:
    for number, picture in enumerate(pictures(Cell, 20)):
        scene = corrupt.changed(picture.scene, "train", Random(number), ["layout"])
        assert rearranged(scene, picture) is None

"""Makes captions that are false for a picture, from obviously wrong to wrong in one word, and checks each of them."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Literal, TypeAlias

from scenes.captions import Caption, describe
from scenes.grammar import (
    COLOUR_NAMES,
    COLUMNS,
    OPPOSITE,
    ROWS,
    SHAPES,
    SIZES,
    THINGS_OF,
    Beside,
    Cell,
    Corner,
    Layout,
    Line,
    Scene,
    Split,
    Thing,
    backgrounds_for,
    pick,
)
from scenes.place import Picture
from scenes.truth import clearly_false

WrongKind: TypeAlias = Literal["other", "similar", "attribute"]
_ATTRIBUTES = ("colour", "shape", "size", "layout", "background")


def other(picture: Picture, captions: list[Caption], rng: Random) -> Caption:
    """One of the given captions of other pictures that is false for this one.

    Raises:
        ValueError: none of 1,000 randomly chosen captions is false for the picture.
    """
    for _ in range(1000):
        caption = pick(rng, captions)
        if clearly_false(caption.claims, picture):
            return caption
    raise ValueError(f"none of the {len(captions)} captions is false for {picture.scene}: use more scenes")


def similar(picture: Picture, split: Split, rng: Random) -> Caption:
    """A newly worded caption of a scene that differs from the picture in two attributes."""
    while True:
        first, second = sorted(_ATTRIBUTES, key=lambda _: rng.random())[:2]
        once = _changed(picture.scene, first, split, rng)
        twice = _changed(once, second, split, rng) if once else None
        if twice:
            caption = describe(twice, rng)
            if clearly_false(caption.claims, picture):
                return caption


def attribute(picture: Picture, split: Split, rng: Random, wording: int | str) -> Caption:
    """The caption `describe(picture.scene, Random(wording))` with one attribute changed so that it is false."""
    while True:
        caption = describe(changed(picture.scene, split, rng), Random(wording))
        if clearly_false(caption.claims, picture):
            return caption


def changed(scene: Scene, split: Split, rng: Random, attributes: Sequence[str] = _ATTRIBUTES) -> Scene:
    """The scene with one of the attributes changed: a thing's colour, shape or size, the layout or the background.

    For "train" the changed thing belongs to the training split, so that wrong captions do not show the combinations
    held out for testing either. For "test" every combination is allowed.
    """
    while True:
        scene_changed = _changed(scene, pick(rng, attributes), split, rng)
        if scene_changed:
            return scene_changed


def _changed(scene: Scene, kind: str, split: Split, rng: Random) -> Scene | None:
    """The scene with this kind of attribute changed, or None if the drawn change is not allowed."""
    if kind == "layout":
        return _layout_changed(scene, rng)
    if kind == "background":
        others = [name for name in backgrounds_for(scene.things) if name != scene.background]
        return replace(scene, background=pick(rng, others)) if others else None
    index = int(rng.random() * len(scene.things))
    thing = _thing_changed(scene.things[index], kind, rng)
    things = (*scene.things[:index], thing, *scene.things[index + 1 :])
    unseen = split == "train" and thing not in _TRAIN_THINGS
    if unseen or thing in scene.things or scene.background not in backgrounds_for(things):
        return None
    return replace(scene, things=things)


_TRAIN_THINGS = frozenset(THINGS_OF["train"])


def _thing_changed(thing: Thing, kind: str, rng: Random) -> Thing:
    if kind == "colour":
        return replace(thing, colour=_another(COLOUR_NAMES, thing.colour, rng))
    if kind == "shape":
        return replace(thing, shape=_another(SHAPES, thing.shape, rng))
    return replace(thing, size=_another(SIZES, thing.size, rng))


def _layout_changed(scene: Scene, rng: Random) -> Scene:
    """The scene with another cell or the opposite direction, or, for three in a line, another thing in the middle."""
    first, *rest = scene.things
    layout: Layout
    match scene.layout:
        case Cell(column, row):
            cells = [Cell(c, r) for c in COLUMNS for r in ROWS if (c, r) != (column, row)]
            layout = pick(rng, cells)
        case Beside(direction):
            layout = Beside(OPPOSITE[direction])
        case Line():
            middle, last = rest
            things = (middle, first, last) if rng.random() < 0.5 else (first, last, middle)
            return replace(scene, things=things)
        case Corner(side, upright):
            flips_side = rng.random() < 0.5
            layout = Corner(OPPOSITE[side], upright) if flips_side else Corner(side, OPPOSITE[upright])
    return replace(scene, layout=layout)


def _another(options: tuple[str, ...], current: str, rng: Random) -> str:
    return pick(rng, [option for option in options if option != current])

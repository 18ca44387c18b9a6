"""Defines a scene: one to three things, their layout and their background.

A `Scene` is what a caption can say about a picture; `place` adds the coordinates. Sampling uses only
`Random.random()`, the one method whose stream Python keeps equal between versions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from random import Random
from typing import Literal, TypeAlias, TypeVar

from scenes.palette import BACKGROUNDS, COLOURS, visible

T = TypeVar("T")
Split: TypeAlias = Literal["train", "test"]
Direction: TypeAlias = Literal["left", "right", "above", "below"]
Axis: TypeAlias = Literal["row", "column"]

COLOUR_NAMES = tuple(COLOURS)
SHAPES = ("circle", "square", "triangle", "star", "heart", "cross", "ring", "crescent")
SIZES = ("small", "medium", "large")
BACKGROUND_NAMES = tuple(BACKGROUNDS)
DIRECTIONS: tuple[Direction, ...] = ("left", "right", "above", "below")
OPPOSITE: dict[Direction, Direction] = {"left": "right", "right": "left", "above": "below", "below": "above"}
COLUMNS = ("left", "centre", "right")
ROWS = ("top", "middle", "bottom")


@dataclass(frozen=True, slots=True)
class Thing:
    """One object, given by its attributes. No two things of a scene are equal."""

    colour: str
    shape: str
    size: str


@dataclass(frozen=True, slots=True)
class Cell:
    """The place of a single thing: one of nine cells."""

    column: str
    row: str


@dataclass(frozen=True, slots=True)
class Beside:
    """Two things, the first in `direction` of the second."""

    direction: Direction


@dataclass(frozen=True, slots=True)
class Line:
    """Three things in a row, named from the left, or in a column, named from the top."""

    axis: Axis


@dataclass(frozen=True, slots=True)
class Corner:
    """Three things: the first lies in direction `first` of the second, the third in direction `third` of it. One of
    the directions is left or right, the other above or below."""

    first: Direction
    third: Direction


Layout: TypeAlias = Cell | Beside | Line | Corner


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that a caption can say. `things` are in the order in which the layout names them."""

    things: tuple[Thing, ...]
    layout: Layout
    background: str


def held_out(thing: Thing) -> bool:
    """Whether this combination of colour, shape and size is reserved for test scenes, as one sixth of them are.

    The choice is a Latin square, not a hash, so that each colour, shape and size is held out equally often, and each
    pair of colour and shape keeps at least two sizes for training.
    """
    colour, shape, size = COLOUR_NAMES.index(thing.colour), SHAPES.index(thing.shape), SIZES.index(thing.size)
    return (colour + shape + 2 * size) % 6 == 0


_COUNTS = (1, 2, 2, 2, 3, 3)
THINGS = tuple(Thing(*attributes) for attributes in product(COLOUR_NAMES, SHAPES, SIZES))
THINGS_OF: dict[Split, tuple[Thing, ...]] = {
    "train": tuple(thing for thing in THINGS if not held_out(thing)),
    "test": tuple(thing for thing in THINGS if held_out(thing)),
}


def sample_scene(rng: Random, split: Split, most_things: int = 3) -> Scene:
    """A random scene of at most `most_things` (1 to 3) things, all of them from the split."""
    count = pick(rng, tuple(count for count in _COUNTS if count <= most_things))
    while True:
        things = tuple(pick(rng, THINGS_OF[split]) for _ in range(count))
        backgrounds = backgrounds_for(things)
        if len(set(things)) == count and backgrounds:
            return Scene(things, sample_layout(rng, count), pick(rng, backgrounds))


def sample_layout(rng: Random, count: int) -> Layout:
    """A random layout for `count` things (1, 2 or 3)."""
    if count == 1:
        return Cell(pick(rng, COLUMNS), pick(rng, ROWS))
    if count == 2:
        return Beside(pick(rng, DIRECTIONS))
    if rng.random() < 0.5:
        return Line(pick(rng, ("row", "column")))
    first = pick(rng, DIRECTIONS)
    sideways = first in ("left", "right")
    return Corner(first, pick(rng, ("above", "below") if sideways else ("left", "right")))


def backgrounds_for(things: Sequence[Thing]) -> tuple[str, ...]:
    """The backgrounds on which all of these things are visible."""
    return tuple(name for name in BACKGROUND_NAMES if all(visible(thing.colour, name) for thing in things))


def pick(rng: Random, options: Sequence[T]) -> T:
    """One of the options, all equally likely. Always makes exactly one draw from `rng`."""
    return options[int(rng.random() * len(options))]

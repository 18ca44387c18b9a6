"""Describes a scene in words. There are many wordings; each names every thing with colour, shape and size.

`describe` returns the text and its `Claims`, which are what the text says about the picture, so that `truth` can check
it. The number of draws from the generator does not depend on the attributes. Two scenes with the same kind of layout,
described with equal generators, therefore differ only in the words for the attributes that differ.
"""

from dataclasses import dataclass
from random import Random
from typing import TypeAlias

from scenes.grammar import OPPOSITE, Beside, Cell, Corner, Direction, Line, Scene, Thing, pick
from scenes.words import BACKGROUND_WORDS, OF, PLACE_WORDS, noun_phrase, of_it

Relation: TypeAlias = tuple[Thing, Direction, Thing]


@dataclass(frozen=True, slots=True)
class Claims:
    """What a caption says: which things there are, and how they are arranged. An empty field makes no claim."""

    things: frozenset[Thing]
    cell: Cell | None = None
    relations: tuple[Relation, ...] = ()
    between: tuple[Thing, Thing, Thing] | None = None  # the middle one first
    background: str | None = None


@dataclass(frozen=True, slots=True)
class Caption:
    """A caption and its claims."""

    text: str
    claims: Claims


def describe(scene: Scene, rng: Random) -> Caption:
    """One of many true captions of the scene. Four out of five name the background."""
    names_background, background_first = rng.random() < 0.8, rng.random() < 0.2
    behind = pick(rng, BACKGROUND_WORDS[scene.background])
    phrases = [noun_phrase(thing, rng) for thing in scene.things]
    body, claims = _body(scene, phrases, rng)
    if names_background:
        claims = Claims(claims.things, claims.cell, claims.relations, claims.between, scene.background)
        text = f"{behind}, {body}" if background_first else f"{body} {behind}"
    else:
        text = body
    return Caption(text[0].upper() + text[1:] + ".", claims)


def _body(scene: Scene, phrases: list[str], rng: Random) -> tuple[str, Claims]:
    """Describes the things and their layout, without the background."""
    things = frozenset(scene.things)
    match scene.layout:
        case Cell() as cell:
            return _single(phrases[0], cell, rng), Claims(things, cell=cell)
        case Beside(direction):
            first, second = scene.things
            return _pair(phrases, direction, rng), Claims(things, relations=((first, direction, second),))
        case Line("row" | "column" as axis):
            return _line(scene.things, phrases, axis == "row", rng)
        case Corner(first, third):
            side, hub, upright = scene.things
            relations = ((side, first, hub), (upright, third, hub))
            return _corner(phrases, first, third, rng), Claims(things, relations=relations)
    raise AssertionError(scene.layout)


def _single(thing: str, cell: Cell, rng: Random) -> str:
    place = pick(rng, PLACE_WORDS[cell.row, cell.column])
    template = pick(
        rng,
        (
            "{thing} {place}",
            "{thing} {place}",
            "there is {thing} {place}",
            "a picture of {thing} {place}",
            "{thing} sits {place}",
            "{place} there is {thing}",
            "just {thing}, {place}",
        ),
    )
    return template.format(thing=thing, place=place)


def _pair(phrases: list[str], direction: Direction, rng: Random) -> str:
    first, second = phrases
    to, fro = pick(rng, OF[direction]), pick(rng, OF[OPPOSITE[direction]])
    template = pick(
        rng,
        (
            "{first} {to} {second}",
            "{first} {to} {second}",
            "{second} {fro} {first}",
            "{first} is {to} {second}",
            "there is {first} {to} {second}",
            "{to} {second} there is {first}",
            "{second} with {first} {to_it}",
            "a picture of {first} {to} {second}",
            "{first} and, {fro_it}, {second}",
        ),
    )
    to_it, fro_it = of_it(direction), of_it(OPPOSITE[direction])
    return template.format(first=first, second=second, to=to, fro=fro, to_it=to_it, fro_it=fro_it)


def _line(things: tuple[Thing, ...], phrases: list[str], row: bool, rng: Random) -> tuple[str, Claims]:
    says_order, swaps_ends = rng.random() < 0.5, rng.random() < 0.5
    a, b, c = phrases
    first, middle, last = things
    if says_order:
        start, end = ("left", "right") if row else ("top", "bottom")
        kind = "row" if row else "column"
        template = pick(
            rng,
            (
                "from {start} to {end}: {a}, {b} and {c}",
                "{a}, {b} and {c}, from {start} to {end}",
                "a {kind} of three shapes, from {start} to {end} {a}, {b} and {c}",
                "{a}, then {b}, then {c}, going from {start} to {end}",
            ),
        )
        direction: Direction = "left" if row else "above"
        relations: tuple[Relation, ...] = ((first, direction, middle), (middle, direction, last))
        text = template.format(start=start, end=end, a=a, b=b, c=c, kind=kind)
        return text, Claims(frozenset(things), relations=relations)
    template = pick(
        rng,
        (
            "{b} between {a} and {c}",
            "{b} is between {a} and {c}",
            "between {a} and {c} there is {b}",
            "{a} and {c} with {b} between them",
        ),
    )
    if swaps_ends:
        a, c = c, a
    return template.format(a=a, b=b, c=c), Claims(frozenset(things), between=(middle, first, last))


def _corner(phrases: list[str], first: Direction, third: Direction, rng: Random) -> str:
    side, hub, upright = phrases
    template = pick(
        rng,
        (
            "{hub} with {side} {first_it} and {upright} {third_it}",
            "{hub} with {upright} {third_it} and {side} {first_it}",
            "{side} {to_first} {hub}, which has {upright} {third_it}",
            "{upright} {to_third} {hub}, which has {side} {first_it}",
            "{hub}; {first_it} {side}, {third_it} {upright}",
        ),
    )
    return template.format(
        hub=hub,
        side=side,
        upright=upright,
        to_first=pick(rng, OF[first]),
        to_third=pick(rng, OF[third]),
        first_it=of_it(first),
        third_it=of_it(third),
    )

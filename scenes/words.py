"""The words for each attribute. Most attributes have several, as people would say them."""

from random import Random

from scenes.grammar import Direction, Thing, pick

SIZE_WORDS = {
    "small": ("small", "little", "tiny"),
    "medium": ("medium", "medium-sized", "mid-sized"),
    "large": ("large", "big", "huge"),
}
COLOUR_WORDS = {"purple": ("purple", "violet"), "turquoise": ("turquoise", "teal"), "gray": ("gray", "grey")}
SHAPE_WORDS = {
    "circle": ("circle", "disc"),
    "ring": ("ring", "hoop"),
    "cross": ("cross", "plus sign"),
    "crescent": ("crescent", "crescent moon"),
}
BACKGROUND_WORDS = {
    "white": ("on a white background", "against plain white"),
    "black": ("on a black background", "against plain black"),
    "beige": ("on a beige background", "on a sand-coloured background"),
    "pale blue": ("on a pale blue background", "against a light blue background"),
    "striped": ("on a striped background", "in front of stripes"),
    "dotted": ("on a dotted background", "in front of polka dots"),
    "checkered": ("on a checkered background", "in front of a checkerboard"),
}
PLACE_WORDS = {
    ("top", "left"): ("in the top left corner", "at the top left", "in the upper left"),
    ("top", "centre"): ("at the top in the middle", "near the top edge", "at the top centre"),
    ("top", "right"): ("in the top right corner", "at the top right", "in the upper right"),
    ("middle", "left"): ("on the left side", "at the left edge", "halfway up on the left"),
    ("middle", "centre"): ("in the middle", "in the centre", "right in the centre"),
    ("middle", "right"): ("on the right side", "at the right edge", "halfway up on the right"),
    ("bottom", "left"): ("in the bottom left corner", "at the bottom left", "in the lower left"),
    ("bottom", "centre"): ("at the bottom in the middle", "near the bottom edge", "at the bottom centre"),
    ("bottom", "right"): ("in the bottom right corner", "at the bottom right", "in the lower right"),
}
# OF is for "A is … B"; _OF_IT is for "with A …", where B was just named.
OF: dict[Direction, tuple[str, ...]] = {
    "left": ("left of", "to the left of"),
    "right": ("right of", "to the right of"),
    "above": ("above", "higher up than"),
    "below": ("below", "underneath"),
}
_OF_IT: dict[Direction, str] = {
    "left": "to its left",
    "right": "to its right",
    "above": "above it",
    "below": "below it",
}


def of_it(direction: Direction) -> str:
    """The direction from a thing that was just named: "to its left"."""
    return _OF_IT[direction]


def noun_phrase(thing: Thing, rng: Random) -> str:
    """The thing with its article: "a tiny violet heart". No size word begins with a vowel, so the article is "a"."""
    size = pick(rng, SIZE_WORDS[thing.size])
    colour = pick(rng, COLOUR_WORDS.get(thing.colour, (thing.colour,)))
    shape = pick(rng, SHAPE_WORDS.get(thing.shape, (thing.shape,)))
    return f"a {size} {colour} {shape}"

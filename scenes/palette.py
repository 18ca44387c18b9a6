"""The colours of things and the tones of backgrounds, as RGB in 0..255, and which colours are visible on which."""

from typing import TypeAlias

RGB: TypeAlias = tuple[int, int, int]

COLOURS: dict[str, RGB] = {
    "red": (222, 24, 32),
    "orange": (255, 138, 0),
    "yellow": (255, 228, 20),
    "green": (24, 150, 40),
    "turquoise": (40, 214, 205),
    "blue": (28, 70, 235),
    "purple": (126, 22, 170),
    "pink": (255, 132, 196),
    "brown": (122, 68, 26),
    "black": (10, 10, 12),
    "white": (252, 252, 252),
    "gray": (132, 132, 136),
}

# A plain background has one tone. A pattern has two; the first is the ground.
BACKGROUNDS: dict[str, tuple[RGB, ...]] = {
    "white": ((250, 250, 250),),
    "black": ((8, 8, 12),),
    "beige": ((236, 214, 168),),
    "pale blue": ((176, 210, 242),),
    "striped": ((58, 66, 92), (84, 94, 124)),
    "dotted": ((196, 226, 190), (158, 198, 152)),
    "checkered": ((226, 222, 228), (190, 186, 194)),
}

_MIN_DISTANCE = 75.0  # in RGB; below it a shape of 10 pixels cannot be seen on its background


def visible(colour: str, background: str) -> bool:
    """Whether a thing of this colour stands out from every tone of this background."""
    return all(_distance(COLOURS[colour], tone) >= _MIN_DISTANCE for tone in BACKGROUNDS[background])


def _distance(a: RGB, b: RGB) -> float:
    return float(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) ** 0.5)

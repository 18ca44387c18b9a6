"""Chooses coordinates for a scene. They fulfil the layout with a margin, and no things overlap.

The picture is the unit square, with x to the right and y down. Each layout is placed in one orientation, then mirrored
or transposed for the others.
"""

from dataclasses import dataclass, replace
from math import hypot
from random import Random

from scenes.grammar import OPPOSITE, Beside, Cell, Corner, Line, Scene, Split, Thing, sample_scene

RADIUS = {"small": 0.095, "medium": 0.135, "large": 0.19}
# How far a shape extends from its centre, in radii. All shapes have about the same area, so a star extends further.
REACH = {
    "circle": 1.0,
    "square": 1.24,
    "triangle": 1.42,
    "star": 1.42,
    "heart": 1.25,
    "cross": 1.25,
    "ring": 1.12,
    "crescent": 1.25,
}
_BORDER = 0.02  # between a thing and the edge
_GAP = 0.02  # between two things
_STEP = 0.26  # minimum distance between centres along the axis of "left of" and "above"
_SLANT = 0.5  # maximum distance across that axis, as a share of the distance along it
_TRIES = 40

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Placed:
    """A thing with its centre (0..1), radius (as a share of the picture's side), turn (degrees) and shade (-1..1)."""

    thing: Thing
    x: float
    y: float
    radius: float
    turn: float
    shade: float


@dataclass(frozen=True, slots=True)
class Picture:
    """A scene with coordinates, which is all that drawing needs. `placed` is in the order of `scene.things`."""

    scene: Scene
    placed: tuple[Placed, ...]


def sample_picture(rng: Random, split: Split, most_things: int = 3) -> Picture:
    """A random picture. A scene whose things do not fit its layout is replaced by another one."""
    while True:
        picture = place(sample_scene(rng, split, most_things), rng)
        if picture is not None:
            return picture


def place(scene: Scene, rng: Random) -> Picture | None:
    """The scene with coordinates, or None if its things do not fit its layout."""
    reaches = [RADIUS[thing.size] * REACH[thing.shape] for thing in scene.things]
    for _ in range(_TRIES):
        points = _points(scene, reaches, rng)
        if points is not None and _fits(points, reaches):
            return Picture(scene, tuple(_placed(t, p, rng) for t, p in zip(scene.things, points, strict=True)))
    return None


def in_place(scene: Scene, picture: Picture) -> Picture | None:
    """The scene with its things at the coordinates of the picture's things, or None if they do not fit there.

    The scene must have the picture's layout and the same number of things.
    """
    points = [(placed.x, placed.y) for placed in picture.placed]
    if not _fits(points, [RADIUS[thing.size] * REACH[thing.shape] for thing in scene.things]):
        return None
    grown = [RADIUS[new.size] / RADIUS[old.thing.size] for new, old in zip(scene.things, picture.placed, strict=True)]
    return Picture(
        scene,
        tuple(
            replace(old, thing=new, radius=factor * old.radius)
            for new, old, factor in zip(scene.things, picture.placed, grown, strict=True)
        ),
    )


def rearranged(scene: Scene, picture: Picture) -> Picture | None:
    """The picture's things in the scene's layout, or None if that needs new coordinates.

    If a direction became its opposite, the picture is mirrored. If the order in a line changed, the things exchange
    their places, provided that they fit there.
    """
    match picture.scene.layout, scene.layout:
        case (Beside(was), Beside(now)) if now == OPPOSITE[was]:
            return _mirrored(scene, picture, sideways=was in ("left", "right"))
        case (Corner(first, third), Corner(now, third_now)):
            turned, other = (first, now) if first != now else (third, third_now)
            if other == OPPOSITE[turned] and (first == now or third == third_now):
                return _mirrored(scene, picture, sideways=turned in ("left", "right"))
        case (Line(was_axis), Line(axis)) if axis == was_axis:
            return _reordered(scene, picture)
    return None


def _mirrored(scene: Scene, picture: Picture, sideways: bool) -> Picture:
    placed = (replace(p, x=1 - p.x) if sideways else replace(p, y=1 - p.y) for p in picture.placed)
    return Picture(scene, tuple(placed))


def _reordered(scene: Scene, picture: Picture) -> Picture | None:
    of = {placed.thing: placed for placed in picture.placed}
    points = [(placed.x, placed.y) for placed in picture.placed]
    if not _fits(points, [RADIUS[thing.size] * REACH[thing.shape] for thing in scene.things]):
        return None
    placed = (replace(of[t], x=x, y=y) for t, (x, y) in zip(scene.things, points, strict=True))
    return Picture(scene, tuple(placed))


def _placed(thing: Thing, point: Point, rng: Random) -> Placed:
    radius = RADIUS[thing.size] * (0.95 + 0.1 * rng.random())
    return Placed(thing, *point, radius, turn=20 * rng.random() - 10, shade=2 * rng.random() - 1)


def _points(scene: Scene, reaches: list[float], rng: Random) -> list[Point] | None:
    match scene.layout:
        case Cell(column, row):
            x = _third(column == "centre", column == "right", reaches[0], rng)
            return [(x, _third(row == "middle", row == "bottom", reaches[0], rng))]
        case Beside(direction):
            along, across = _beside(reaches[0], reaches[1], rng)
            points = list(zip(along, across, strict=True))
            return _turned(points, direction in ("above", "below"), direction in ("right", "below"))
        case Line(axis):
            return _turned(_line(reaches, rng), transpose=axis == "column", flip=False)
        case Corner(first, third):
            return _corner(first in ("left", "right"), {first, third}, reaches, rng)


def _turned(points: list[Point], transpose: bool, flip: bool) -> list[Point]:
    """Converts "left of" or "row" to another orientation: mirrors along x, then exchanges x and y."""
    flipped = [(1 - x, y) for x, y in points] if flip else points
    return [(y, x) for x, y in flipped] if transpose else flipped


def _third(middle: bool, far: bool, reach: float, rng: Random) -> float:
    """A coordinate in the first, middle or last third of a side, with a gap to the other thirds."""
    if middle:
        return 0.45 + 0.1 * rng.random()
    near = reach + _BORDER
    coordinate = near + max(0.28 - near, 0.0) * rng.random()
    return 1 - coordinate if far else coordinate


def _anywhere(reach: float, rng: Random) -> float:
    edge = reach + _BORDER
    return edge + (1 - 2 * edge) * rng.random()


def _beside(first: float, second: float, rng: Random) -> tuple[Point, Point]:
    """Coordinates of two things along the axis, where the first is smaller, and across it."""
    low, high = first + _BORDER, 1 - second - _BORDER
    step = max(_STEP, 0.9 * (first + second))
    step += max(high - low - step, 0.0) * rng.random()
    start = low + max(high - low - step, 0.0) * rng.random()
    across = _anywhere(first, rng)
    return (start, start + step), (across, across + _SLANT * step * (2 * rng.random() - 1))


def _line(reaches: list[float], rng: Random) -> list[Point]:
    """Three things in a row, with random gaps and with heights in a narrow band."""
    free = 1 - 2 * _BORDER - 2 * sum(reaches)
    cuts = [max(free, 0.0) * share for share in sorted((rng.random(), rng.random(), rng.random()))]
    height = _anywhere(max(reaches), rng)
    points, edge = [], _BORDER
    for reach, cut in zip(reaches, cuts, strict=True):
        points.append((edge + reach + cut, height + 0.1 * rng.random() - 0.05))
        edge += 2 * reach
    return points


def _corner(first_sideways: bool, directions: set[str], reaches: list[float], rng: Random) -> list[Point] | None:
    """A hub, one thing beside it and one above or below it. They are placed left and above, then mirrored."""
    sideways, hub, upright = reaches if first_sideways else reversed(reaches)
    (side_x, hub_x), (side_dy, hub_dy) = _beside(sideways, hub, rng)
    (up_y, hub_y), (up_dx, hub_dx) = _beside(upright, hub, rng)
    points = [(side_x, hub_y + side_dy - hub_dy), (hub_x, hub_y), (hub_x + up_dx - hub_dx, up_y)]
    if "right" in directions:
        points = [(1 - x, y) for x, y in points]
    if "below" in directions:
        points = [(x, 1 - y) for x, y in points]
    return points if first_sideways else points[::-1]


def _fits(points: list[Point], reaches: list[float]) -> bool:
    """Whether all things lie inside the picture and no two touch."""
    for i, ((x, y), reach) in enumerate(zip(points, reaches, strict=True)):
        edge = reach + _BORDER - 1e-9
        if not (edge <= x <= 1 - edge and edge <= y <= 1 - edge):
            return False
        for (other_x, other_y), other in zip(points[:i], reaches[:i], strict=True):
            if hypot(x - other_x, y - other_y) < reach + other + _GAP:
                return False
    return True

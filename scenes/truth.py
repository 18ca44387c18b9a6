"""Checks by a picture's coordinates whether the claims of a caption are true for it."""

from scenes.captions import Claims, Relation
from scenes.grammar import Cell, Thing
from scenes.place import Picture, Placed

# Distances along the axis of a direction, as shares of the picture's side. A relation between the two bounds is neither
# clearly true nor clearly false, and no caption relies on it.
_CLEARLY_TRUE = 0.15
_CLEARLY_FALSE = 0.0
_NEAR_LINE = 0.15


def holds(claims: Claims, picture: Picture) -> bool:
    """Whether every claim is true for the picture, with a margin."""
    placed = {placed.thing: placed for placed in picture.placed}
    if claims.things != placed.keys() or claims.background not in (None, picture.scene.background):
        return False
    if claims.cell is not None and claims.cell != _cell(placed.popitem()[1]):
        return False
    if any(_separation(relation, placed) < _CLEARLY_TRUE for relation in claims.relations):
        return False
    return claims.between is None or _is_between(claims.between, placed)


def clearly_false(claims: Claims, picture: Picture) -> bool:
    """Whether at least one claim is clearly false for the picture, so that no viewer could accept the caption."""
    placed = {placed.thing: placed for placed in picture.placed}
    if claims.things != placed.keys() or claims.background not in (None, picture.scene.background):
        return True
    if claims.cell is not None and claims.cell != _cell(placed.popitem()[1]):
        return True
    if any(_separation(relation, placed) <= _CLEARLY_FALSE for relation in claims.relations):
        return True
    return claims.between is not None and not 0.0 <= _along(claims.between, placed) <= 1.0


def _separation(relation: Relation, placed: dict[Thing, Placed]) -> float:
    """How far the first thing lies in the claimed direction of the second; negative if it is on the other side."""
    first, direction, second = relation
    a, b = placed[first], placed[second]
    return {"left": b.x - a.x, "right": a.x - b.x, "above": b.y - a.y, "below": a.y - b.y}[direction]


def _along(between: tuple[Thing, Thing, Thing], placed: dict[Thing, Placed]) -> float:
    """The position of the middle thing, projected onto the line from one end (0) to the other (1)."""
    middle, a, b = (placed[thing] for thing in between)
    dx, dy = b.x - a.x, b.y - a.y
    return ((middle.x - a.x) * dx + (middle.y - a.y) * dy) / (dx * dx + dy * dy)


def _is_between(between: tuple[Thing, Thing, Thing], placed: dict[Thing, Placed]) -> bool:
    middle, a, b = (placed[thing] for thing in between)
    share = _along(between, placed)
    foot_x, foot_y = a.x + share * (b.x - a.x), a.y + share * (b.y - a.y)
    near = abs(middle.x - foot_x) <= _NEAR_LINE and abs(middle.y - foot_y) <= _NEAR_LINE
    return near and 0.1 <= share <= 0.9


def _cell(placed: Placed) -> Cell:
    def third(coordinate: float) -> int:
        return 0 if coordinate < 0.4 else 1 if coordinate <= 0.6 else 2

    return Cell(("left", "centre", "right")[third(placed.x)], ("top", "middle", "bottom")[third(placed.y)])

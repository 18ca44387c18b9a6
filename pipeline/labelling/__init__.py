"""Draws pairs for a person to label, and writes a page to label them on."""

from pipeline.labelling.draw import SIDE, Drawn, DrawnPair, draw
from pipeline.labelling.folder import DRAW, PAGE, require_place, write
from pipeline.labelling.page import to_html

__all__ = ["DRAW", "PAGE", "SIDE", "Drawn", "DrawnPair", "draw", "require_place", "to_html", "write"]

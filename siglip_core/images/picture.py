"""A picture as its file stores it: decoded, but not yet turned upright, because turning a large picture takes long."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

_SIDEWAYS = (
    Image.Transpose.TRANSPOSE,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
)


def lies_sideways(turn: Image.Transpose | None) -> bool:
    """Whether the rows of a picture that needs this turn are columns once it is upright."""
    return turn in _SIDEWAYS


@dataclass(frozen=True)
class Picture:
    """A picture in RGB.

    stored: uint8 [H, W, 3], as the file stores it; smaller than the original where it was decoded to a smaller size.
    turn: what makes it upright; None if it already is.
    width, height: those of the original in pixels, upright.
    scale: pixels of `stored` for one of the original. The last row and column may reach beyond the original.
    """

    stored: Pixels
    turn: Image.Transpose | None
    width: int
    height: int
    scale: float = 1.0

    @property
    def is_sideways(self) -> bool:
        return lies_sideways(self.turn)

    @property
    def upright(self) -> Pixels:
        """uint8 [H, W, 3], a view."""
        return self.turned(self.stored)

    def turned(self, pixels: Pixels) -> Pixels:
        """Pixels [h, w, 3] that lie as the stored ones do -> upright, a view."""
        match self.turn:
            case None:
                return pixels
            case Image.Transpose.FLIP_LEFT_RIGHT:
                return pixels[:, ::-1]
            case Image.Transpose.FLIP_TOP_BOTTOM:
                return pixels[::-1]
            case Image.Transpose.ROTATE_180:
                return pixels[::-1, ::-1]
            case Image.Transpose.TRANSPOSE:
                return pixels.swapaxes(0, 1)
            case Image.Transpose.TRANSVERSE:
                return pixels[::-1, ::-1].swapaxes(0, 1)
            case Image.Transpose.ROTATE_90:
                return np.rot90(pixels)
            case Image.Transpose.ROTATE_270:
                return np.rot90(pixels, -1)


def from_image(upright: Image.Image) -> Picture:
    """An upright RGB image of Pillow. Its pixels are copied, as Pillow's buffer is read-only and torch writes."""
    return Picture(np.array(upright, dtype=np.uint8), None, upright.width, upright.height)

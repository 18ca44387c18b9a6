"""Statistics of an image as the model sees it: of the luma of its resized pixels. They need no model.

They cost a fraction of a millisecond, because the picture is decoded and resized already. Their values depend on the
model's resolution, so a threshold holds for tables of models with the same one.

- `image_sharpness`: variance of the Laplacian of the luma (0 to 255), with the kernel of its four neighbours
  (Pech-Pacheco et al., ICPR 2000). Small for a blurred image, a flat one, and one that had to be enlarged.
- `image_brightness`: mean of the luma, in [0, 1]. Small for a dark image.
- `image_contrast`: standard deviation of the luma, in [0, 0.5] (RMS contrast; Peli, JOSA A 1990).
- `image_entropy`: of the histogram of the luma, in bits, in [0, 8]. Small for an image that is nearly empty.
- `image_border`: share of the area, in [0, 1], in rows and columns at the edges that have one colour: bars above and
  below a film, a frame, an empty background. 1 for an image of one colour.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline import schema

TOLERANCE = 8
"""of the luma, in which an edge counts as one colour: what JPEG adds to it"""

Luma = npt.NDArray[np.uint8]


def image_statistics(pixels: npt.NDArray[np.uint8]) -> dict[str, float]:
    """The value of each column of `schema.IMAGE_STATISTICS`, for pixels uint8 [H, W, 3]."""
    grey = Image.fromarray(pixels).convert("L")
    luma = np.asarray(grey)
    share = np.array(grey.histogram()) / luma.size
    level = np.arange(256)
    mean = float(share @ level)
    seen = share[share > 0]
    values = (
        _sharpness(luma),
        mean / 255,
        float(share @ (level - mean) ** 2) ** 0.5 / 255,
        max(0.0, -float(seen @ np.log2(seen))),
        _border(luma),
    )
    return dict(zip(schema.IMAGE_STATISTICS, values, strict=True))


def _sharpness(luma: Luma) -> float:
    wide = luma.astype(np.int16)
    laplacian = wide[1:-1, 1:-1] * np.int16(-4)
    for neighbour in (wide[:-2, 1:-1], wide[2:, 1:-1], wide[1:-1, :-2], wide[1:-1, 2:]):
        laplacian += neighbour
    return float(laplacian.astype(np.float32).var())


def _border(luma: Luma) -> float:
    height, width = luma.shape
    left = (height - _uniform_rows(luma)) * (width - _uniform_rows(luma.T))
    return float(1 - left / (height * width))


def _uniform_rows(luma: Luma) -> int:
    """How many rows at the two edges have one colour: that of the outermost row."""
    first = _leading(luma)
    return first if first == len(luma) else first + _leading(luma[::-1])


def _leading(luma: Luma) -> int:
    """How many rows from the first on have its colour."""
    if int(luma[0].max()) - int(luma[0].min()) > 2 * TOLERANCE:  # most images: no need to look at the others
        return 0
    colour = float(np.median(luma[0]))
    ends = (luma.min(axis=1) < colour - TOLERANCE) | (luma.max(axis=1) > colour + TOLERANCE)
    return int(ends.argmax()) if ends.any() else len(ends)

"""Ticks of an axis."""

from __future__ import annotations

import math


def ticks(low: float, high: float, about: int = 7) -> list[float]:
    """Round numbers from `low` to `high`, roughly `about` of them."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low]
    rough = high / about - low / about
    power = 10.0 ** math.floor(math.log10(rough)) if rough > 1e-300 else rough
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step)
    return [place * step for place in range(first, math.floor(high / step) + 1)]

"""`--top-fraction F`: keep the best F of the scored pairs, by exact rank; ties go to the smaller uids."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Annotated

import numpy as np
from pydantic import Field

from pipeline.filtering.cuts import Context, Maker, require_higher_is_better
from pipeline.filtering.made_cut import MadeCut
from pipeline.filtering.scores import Scores

VALUE = Annotated[float, Field(ge=0, le=1)]
HELP = "keep the best floor(this x scored pairs); ties go to the smaller uids"
FOR_SUMS = True
NEEDS_ADDRESSES = False


def cut(fraction: float, context: Context) -> Maker:
    require_higher_is_better(context.table, context.by)
    return lambda groups: [of_scores(group.scores, fraction) for group in groups]


def of_scores(scores: Scores, fraction: float) -> MadeCut:
    """Keeps floor(fraction x len(scores)) pairs, exactly.

    The product uses the decimal as written: 0.29 of 100 is 29, where floats give 28.999….
    """
    kept = math.floor(Fraction(str(fraction)) * len(scores))
    if kept == 0:
        return MadeCut(math.inf)
    threshold = np.partition(scores, len(scores) - kept)[len(scores) - kept]
    above, at = (int(np.count_nonzero(compared)) for compared in (scores > threshold, scores == threshold))
    return MadeCut(float(threshold), ties_kept=kept - above if above + at > kept else None)

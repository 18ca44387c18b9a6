"""`--max X`: keep the pairs whose score is at most X, as for q-values."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.filtering.cuts import Context
from pipeline.filtering.made_cut import MadeCut

VALUE = Annotated[float, Field(allow_inf_nan=False)]
HELP = "keep pairs whose score is at most this"
FOR_SUMS = True
NEEDS_ADDRESSES = False


def cut(value: float, _: Context) -> MadeCut:
    return MadeCut(value, at_most=True)

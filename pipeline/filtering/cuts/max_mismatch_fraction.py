"""`--max-mismatch-fraction R`: keep as many pairs as possible while an estimated share of at most R is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

import numpy as np
from pydantic import Field

from pipeline import schema
from pipeline.errors import EstimateError, TableError
from pipeline.filtering.cuts import Context, Maker
from pipeline.filtering.estimate import draw, mismatch
from pipeline.filtering.estimate.mismatch import CannotTellError
from pipeline.filtering.made_cut import MadeCut
from pipeline.filtering.scores import ScoredGroup, in_units_of

VALUE = Annotated[float, Field(gt=0, lt=1)]
HELP = "keep as many pairs as possible while at most this share is estimated to be mismatched"
FOR_SUMS = False  # scores of mismatched pairs are known only for the cosine and scores that rank like it
NEEDS_ADDRESSES = True  # a sample of the pairs is shuffled


def cut(fraction: float, context: Context) -> Maker:
    return partial(_estimated, fraction, context)


def _estimated(fraction: float, context: Context, groups: Sequence[ScoredGroup]) -> list[MadeCut]:
    """Estimates the cut of each group.

    Raises:
        TableError: the column is not a score of pairs.
        EstimateError: the mismatch fraction cannot be estimated, for all pairs or for some group.
    """
    table, by = context.table, context.by
    if by not in schema.SCORES:
        raise TableError(
            f"column {by!r}: it cannot be computed for shuffled pairs, as --max-mismatch-fraction needs; give --by "
            f"{', '.join(schema.SCORES[:-1])} or {schema.SCORES[-1]}"
        )
    found, failures = list[MadeCut](), list[str]()
    for group in groups:
        pairs = draw.draw(table, group.addresses, context.seed)
        try:
            estimate = mismatch.estimate(pairs, fraction, context.seed)
        except CannotTellError as error:
            of = f" of {context.path}" if context.path else ""
            of += "" if context.per is None else f" of the pairs with {context.per} {group.value!r}"
            failures.append(f"the mismatch fraction{of} cannot be estimated: {error}")
        else:
            threshold = in_units_of(by, np.array([estimate.threshold]), table.identity)[0]
            found.append(MadeCut(float(threshold), estimate=estimate))
    if failures:
        advice = "choose a cut with --top-fraction or --min"
        advice += "" if context.per is None else ", or exclude such rows with --where"
        raise EstimateError(f"table {table.uri}: {'; '.join(failures)}; nothing was written; {advice}")
    return found

"""q-values and posterior errors of pairs, by target-decoy estimation (`pipeline.mismatch.q_values`).

`q_value`: the least estimated share of mismatched pairs at which this pair is kept, in [0, 1]. `posterior_error`: the
estimated probability that this pair is mismatched, in [0, 1].

The estimate is made once, from a sample of the table, and stored with the columns. Rows that are added later are
measured by it. `--all` makes it anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import pyarrow as pa

from pipeline import schema
from pipeline.errors import UsageError
from pipeline.mismatch.q_values import COLUMNS, SCORES, Fit, How, fit
from pipeline.scoring.signals import Columns, Context, Fitted, Signal
from pipeline.table import Table

FIELDS: Mapping[str, pa.DataType] = dict.fromkeys(COLUMNS, pa.float32())
READ = (schema.COSINE,)
NEEDS_TARGET = False


@dataclass(frozen=True)
class QValue:
    """The signal for one estimate."""

    fit: Fit
    FIELDS: Mapping[str, pa.DataType] = field(default_factory=lambda: FIELDS)
    NEEDS_TARGET: bool = False

    @property
    def READ(self) -> tuple[str, ...]:  # noqa: N802 (a name of the contract)
        return (self.fit.how.by,)

    def prepare(self, _: Context) -> Callable[[pa.RecordBatch], Columns]:
        return self._of_batch

    def _of_batch(self, batch: pa.RecordBatch) -> Columns:
        how = self.fit.how
        scores = batch[how.by].to_numpy(zero_copy_only=False)
        found = self.fit.of(scores, None if how.per is None else batch[how.per])
        return {
            name: pa.array(np.where(np.isfinite(scores), values, np.nan).astype(np.float32))
            for name, values in zip(FIELDS, found, strict=True)
        }


def fitted(table: Table, how: How, stored: str | None) -> Fitted:
    """The signal with the estimate `stored` in its columns, if that was made in the same way; else with a new one.

    Raises:
        UsageError: the score cannot be computed for decoys.
        TableError: the table lacks the score, or the column to group by cannot group rows.
        EstimateError: the mismatch fraction cannot be estimated.
    """
    if how.by not in SCORES:
        raise UsageError(
            f"column {how.by!r}: it cannot be computed for captions of other images, as q-values need; give --by "
            f"{' or '.join(SCORES)}"
        )
    earlier = None if stored is None else Fit.from_json(stored)
    found = earlier if earlier is not None and earlier.how == how else fit(table, how)
    return Fitted(cast(Signal, QValue(found)), found.version, found.to_json(), () if how.per is None else (how.per,))

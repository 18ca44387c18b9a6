"""q-values and posterior errors of pairs, from the estimate for every cut.

A pair's *q-value* is the least estimated share of mismatched pairs at which it is kept (Storey and Tibshirani 2003,
"Statistical significance for genomewide studies"). Its *posterior error* is the estimated probability that this pair is
mismatched. Both fall as the score rises.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import schema
from pipeline.errors import EstimateError, TableError
from pipeline.mismatch import draw, normalised
from pipeline.mismatch.estimate import CONTRADICTIONS, MIN_PAIRS, Assumption, CannotTellError, Curves, examine
from pipeline.table import ROW_ADDRESS, Groups, Table

log = logging.getLogger(__name__)

COLUMNS = ("q_value", "posterior_error")
"""the first also holds the estimate that both are computed by"""
SCORES = (schema.COSINE, normalised.COLUMN)
"""logits and probabilities have the q-values of their cosines"""
SEED = 0
_KNOTS = 257
_INFINITE = 1e30  # no score is as large
_ALL = "null"  # the only group without `per`

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class QValues:
    """The values at rising thresholds, [T] each. Between them they are interpolated."""

    thresholds: tuple[float, ...]
    q_values: tuple[float, ...]
    posterior_errors: tuple[float, ...]

    def of(self, scores: npt.NDArray[Any]) -> tuple[Values, Values]:
        """(q-values, posterior errors) of scores, [N] each, in [0, 1]."""
        return (
            np.interp(scores, self.thresholds, self.q_values),
            np.interp(scores, self.thresholds, self.posterior_errors),
        )


_PARTS = tuple(field.name for field in fields(QValues))


@dataclass(frozen=True)
class How:
    """What q-values are computed by."""

    by: str
    """the score, one of `SCORES`"""
    per: str | None
    """the column whose values have an estimate each; None: all pairs together"""
    assumes: Assumption

    def __str__(self) -> str:
        per = "" if self.per is None else f" per {self.per}"
        return f"by {self.by}{per}, wrong captions {self.assumes}"


BY_COSINE = How(schema.COSINE, None, "random")


@dataclass(frozen=True)
class Fit:
    how: How
    of_groups: Mapping[str, QValues]
    """by the value of `how.per` as JSON"""
    contradicted: bool = False
    """whether the scores of some group contradict the assumption"""

    def of(self, scores: npt.NDArray[Any], groups: pa.Array | None) -> tuple[Values, Values]:
        """(q-values, posterior errors) of scores [N], of these groups [N]; NaN for a group that was not there."""
        if groups is None:
            return self.of_groups[_ALL].of(scores)
        encoded = groups.dictionary_encode(null_encoding="encode")
        codes = encoded.indices.to_numpy()
        q_values, errors = np.full(len(scores), np.nan), np.full(len(scores), np.nan)
        for code, value in enumerate(encoded.dictionary.to_pylist()):
            if (values := self.of_groups.get(json.dumps(value))) is not None:
                q_values[codes == code], errors[codes == code] = values.of(scores[codes == code])
        return q_values, errors

    def to_json(self) -> str:
        """Each estimate once: every commit of the table writes it again."""
        estimates = list(dict.fromkeys(self.of_groups.values()))
        places = {name: estimates.index(values) for name, values in self.of_groups.items()}
        return json.dumps(
            {
                "how": asdict(self.how),
                "groups": places,
                "estimates": [asdict(each) for each in estimates],
                "contradicted": self.contradicted,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Fit:
        found = json.loads(text)
        estimates = [QValues(*(tuple(values[name]) for name in _PARTS)) for values in found["estimates"]]
        groups = {name: estimates[place] for name, place in found["groups"].items()}
        return cls(How(**found["how"]), groups, found["contradicted"])

    @property
    def version(self) -> str:
        return f"{self.how}, {blake2b(self.to_json().encode(), digest_size=4).hexdigest()}"


def fit(table: Table, how: How) -> Fit:
    """Estimates q-values for the scored pairs of a table. Groups with too few pairs have one estimate together.

    Raises:
        TableError: the table lacks the score, or the column to group by cannot group rows or has too many values.
        EstimateError: the mismatch fraction of some group cannot be estimated.
    """
    _require_columns(table, how)
    addresses = _addresses(table, how)
    few = [name for name, of_group in addresses.items() if len(of_group) < MIN_PAIRS]
    parts = [[name] for name in addresses if name not in few] + ([few] if few else [])
    found, contradicted = dict[str, QValues](), False
    for names in parts:
        try:
            pairs = draw.draw(table, np.concatenate([addresses[name] for name in names]), SEED, how.by)
            examined = examine(pairs, SEED)
            found |= dict.fromkeys(names, from_curves(examined.curves([how.assumes]), how.assumes))
            contradicted |= examined.contradicted(how.assumes) is not None
        except CannotTellError as error:
            of = "" if how.per is None else f" of the pairs with {how.per} {', '.join(names[:3])}"
            raise EstimateError(
                f"table {table.uri}: the q-values{of} cannot be estimated: {error}; label pairs (siglane label) and "
                "filter with --labels, or choose a cut with --top-fraction or --min"
            ) from error
    if contradicted:
        log.warning("table %s: %s", table.uri, CONTRADICTIONS[how.assumes])
    return Fit(how, dict(sorted(found.items())), contradicted)


def stored_fit(table: Table, column: str) -> Fit | None:
    """The estimate that a column of q-values was computed by; None if it is another column."""
    if column not in COLUMNS or COLUMNS[0] not in table.schema.names:
        return None
    found = (table.schema.field(COLUMNS[0]).metadata or {}).get(schema.ESTIMATE_KEY.encode())
    return None if found is None else Fit.from_json(found.decode())


def rows_without_estimate(table: Table, how: How) -> int:
    """How many scored rows have NaN for a q-value, because their group had no row when the estimate was made."""
    return 0 if how.per is None else table.count(f"isnan(q_value) AND abs({how.by}) < {_INFINITE}")


def _require_columns(table: Table, how: How) -> None:
    if how.by not in table.schema.names:
        raise TableError(
            f"table {table.uri}: no column {how.by!r}; run {table.uri.command('score', '--signal', how.by)} first"
        )


def _addresses(table: Table, how: How) -> dict[str, npt.NDArray[np.uint64]]:
    """The addresses of the scored rows of each group, by the group's value as JSON."""
    groups = None if how.per is None else Groups(table, how.per)
    columns, addresses, numbers = [how.by, *([how.per] if how.per else [])], list[Any](), list[Any]()
    for batch in table.scan(columns, f"{how.by} IS NOT NULL", addresses=True):
        is_score = np.isfinite(batch[how.by].to_numpy(zero_copy_only=False))
        addresses.append(batch[ROW_ADDRESS].to_numpy()[is_score])
        if groups is not None:
            numbers.append(groups.of(batch[how.per])[is_score])
    address_N = np.concatenate(addresses) if addresses else np.empty(0, np.uint64)
    if groups is None:
        return {_ALL: address_N} if len(address_N) else {}
    number_N = np.concatenate(numbers) if numbers else np.empty(0, np.int32)
    return {json.dumps(value): address_N[number_N == number] for value, number in groups.numbers.items()}


def from_curves(found: Curves, assumes: Assumption) -> QValues:
    """The q-value at a threshold is the least share of any lower cut, which keeps the pair too."""
    shares = found.mismatched[assumes]
    few = np.unique(np.linspace(0, len(shares) - 1, _KNOTS).astype(int))
    q_values = np.minimum.accumulate(shares)
    at = found.thresholds[few], q_values[few], _posterior_errors(found.kept, shares)[few]
    return QValues(*(tuple(round(float(value), 7) for value in values) for values in at))


def _posterior_errors(kept: Values, shares: Values) -> Values:
    """The share of mismatched pairs among those between a threshold and the next, made to fall with the score."""
    mismatched = kept * shares
    pairs, wrong = kept - np.append(kept[1:], 0), mismatched - np.append(mismatched[1:], 0)
    return _falling(wrong, pairs).clip(0, 1)


def _falling(wrong: Values, pairs: Values) -> Values:
    """Ratios that fall: neighbours are pooled until they do (pool adjacent violators)."""
    blocks: list[tuple[float, float, int]] = []
    for mismatched, weight in zip(wrong.tolist(), pairs.tolist(), strict=True):
        blocks.append((mismatched, weight, 1))
        while len(blocks) > 1 and blocks[-2][0] * blocks[-1][1] <= blocks[-1][0] * blocks[-2][1]:
            last, before = blocks.pop(), blocks.pop()
            blocks.append((before[0] + last[0], before[1] + last[1], before[2] + last[2]))
    ratios = [mismatched / weight if weight > 0 else 1.0 for mismatched, weight, _ in blocks]
    return np.repeat(ratios, [count for _, _, count in blocks])

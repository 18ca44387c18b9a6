"""What a cut by a score would keep: its distribution, estimates of the mismatched share, and pairs at the cut."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import schema
from pipeline.errors import UsageError
from pipeline.filtering import Selection, one_cut
from pipeline.filtering.scores import in_units_of, require_numbers
from pipeline.mismatch import normalised
from pipeline.report import chosen_cut, distributions
from pipeline.report.chosen_cut import Evidence
from pipeline.report.distributions import BINS, Distribution
from pipeline.serving.json_values import plain
from pipeline.serving.snapshots import Following
from pipeline.table import EMBEDDED, Table, TableUri

BARS = 120
MOST_POINTS = 200
"""of a curve"""
ESTIMATED = (*schema.SCORES, normalised.COLUMN)
"""the scores that mismatched pairs can be estimated by"""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Curves:
    """The estimate for each cut, [C]; the shares of mismatched pairs by assumption about wrong captions."""

    thresholds: Floats
    kept: Floats
    mismatched: Mapping[str, Floats]


@dataclass(frozen=True)
class Scored:
    """How a score is distributed over the embedded rows, and what cuts by it would do."""

    version: int
    by: str
    pairs: int
    """rows with a finite score"""
    missing: int
    edges: Floats
    """[BARS + 1]"""
    counts: Floats
    """[BARS], rows between the edges"""
    shuffled: Floats | None
    """[BARS], of as many captions dealt to random other images; None where that is not known"""
    curves: Curves | None
    why_no_curves: str | None
    contradicted: float | None
    """share of pairs that contradict random captions"""
    distribution: Distribution
    """in fine bins"""


def scored(opened: Table, by: str) -> Scored:
    """Reads all values of the score, and for an estimate some vectors.

    Raises:
        TableError: the table has no such numbers.
        UsageError: SQL cannot name the column.
    """
    require_numbers(opened, [by])
    if "`" in by:
        raise UsageError(f"column {by!r}: its name holds a backquote, so that SQL cannot name it; rename the column")
    (found,) = distributions.measure(opened, [by])
    low, high = (found.low, found.high) if found.values else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1, BARS + 1)
    evidence, why_not = _evidence(opened, by)
    shuffled = None
    if evidence is not None and len(dealt := evidence.decoys.get(evidence.by, ())):
        shares = np.histogram(in_units_of(by, np.asarray(dealt), opened.identity).clip(low, high), edges)[0]
        shuffled = shares / max(1, shares.sum()) * found.values
    return Scored(
        version=opened.version,
        by=by,
        pairs=found.values,
        missing=found.missing,
        edges=edges,
        counts=found.within(edges) if found.values else np.zeros(BARS),
        shuffled=shuffled,
        curves=None if evidence is None else _curves(evidence, by, opened),
        why_no_curves=why_not,
        contradicted=None if evidence is None else evidence.contradicted,
        distribution=found,
    )


def _evidence(opened: Table, by: str) -> tuple[Evidence | None, str | None]:
    if by not in ESTIMATED:
        return None, f"mismatched pairs are estimated by {', '.join(ESTIMATED)}"
    found = chosen_cut.evidence(opened, Selection(one_cut(by, min=0.0)), makes_cut=False)
    return found, found.why_no_curve


def _curves(evidence: Evidence, by: str, opened: Table) -> Curves | None:
    curves = evidence.curves
    if curves is None or not len(curves.thresholds):
        return None
    some = np.unique(np.linspace(0, len(curves.thresholds) - 1, MOST_POINTS).astype(int))
    return Curves(
        in_units_of(by, curves.thresholds[some], opened.identity),
        curves.kept[some],
        {assumption: shares[some] for assumption, shares in curves.mismatched.items()},
    )


@dataclass(frozen=True)
class AtCut:
    """The pairs on both sides of a threshold."""

    version: int
    kept: int
    """rows that reach it"""
    above: list[dict[str, Any]]
    """uid, caption, source, key and score of those nearest above, the nearest first"""
    below: list[dict[str, Any]]
    command: str
    """that makes this cut"""


def at_cut(following: Following, by: str, threshold: float, count: int) -> AtCut:
    """Raises TableError if the table has no such numbers."""
    known = following.remembered(("scored", by), lambda opened: scored(opened, by))

    def read(opened: Table) -> AtCut:
        return AtCut(
            opened.version,
            opened.count(f"{EMBEDDED} AND `{by}` >= {threshold!r}"),
            _nearest(opened, known.distribution, by, threshold, count, "above"),
            _nearest(opened, known.distribution, by, threshold, count, "below"),
            command(following.uri, by, threshold),
        )

    return following.read(read)


def command(uri: TableUri, by: str, threshold: float) -> str:
    """The command line of the cut."""
    table = str(replace(uri, state=None)) if uri.state is None else str(uri)
    words = ["siglane", "filter", "--table", table, "--by", by, f"--min={threshold!r}", "--output", "kept"]
    return shlex.join(words)


def _nearest(
    opened: Table, found: Distribution, by: str, threshold: float, count: int, side: Literal["above", "below"]
) -> list[dict[str, Any]]:
    columns = [schema.UID, schema.CAPTION, schema.SOURCE, schema.KEY]
    end = _end(found, threshold, count, side)
    inside = f"`{by}` >= {threshold!r} AND `{by}` <= {end!r}"
    if side == "below":
        inside = f"`{by}` < {threshold!r} AND `{by}` >= {end!r}"
    order = [(by, "ascending" if side == "above" else "descending"), (schema.UID, "ascending")]
    best: pa.Table | None = None
    for batch in opened.scan(list(dict.fromkeys([*columns, by])), f"{EMBEDDED} AND {inside}"):
        rows = pa.Table.from_batches([batch])
        best = pa.concat_tables([rows] if best is None else [best, rows]).sort_by(order).slice(0, count)
    rows = [] if best is None else best.to_pylist()
    return [{**{name: row[name] for name in columns}, "score": plain(row[by])} for row in rows]


def _end(found: Distribution, threshold: float, count: int, side: Literal["above", "below"]) -> float:
    """How far from the threshold to look, so that there are `count` rows, by the fine bins."""
    if not found.values:
        return threshold
    edges = np.linspace(found.low, found.high, BINS + 1)
    below = np.concatenate([[0.0], np.cumsum(found.counts)])
    here = np.interp(threshold, edges, below)
    if side == "above":
        place = int(np.searchsorted(below, here + count, side="left")) + 1
        return float(edges[min(place, BINS)])
    place = int(np.searchsorted(below, here - count, side="right")) - 2
    return float(edges[max(place, 0)])

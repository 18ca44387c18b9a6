"""Draws pairs to label: more of them where their labels tell most about the likely cut."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pipeline import schema
from pipeline.errors import TableError, UsageError
from pipeline.filtering import one_cut
from pipeline.filtering.certified.design import Design, Stratum, design, fewest, kept_share, population
from pipeline.filtering.certified.draw_record import DrawRecord
from pipeline.filtering.cuts import require_higher_is_better
from pipeline.filtering.scores import ScoredGroup, read_groups, require_numbers
from pipeline.filtering.selection import Selection, require_scores
from pipeline.mismatch import draw as samples
from pipeline.report import pairs
from pipeline.report.pairs import Pair
from pipeline.report.thumbnails import stored_columns
from pipeline.table import Table

SIDE = 384
"""pixels: an image is shown to label with as many as a square of this side has. Smaller thumbnails that a table stores
are not enough to judge by."""


@dataclass(frozen=True)
class DrawnPair:
    pair: Pair
    score: float
    stratum: int
    inclusion_probability: float

    @property
    def uid(self) -> str:
        return str(self.pair.row[schema.UID])

    @property
    def values(self) -> str:
        """`score`, `stratum` and `inclusion_probability` as they stand in a file of labels."""
        # a repr is the shortest text that reads back as the same number
        return f"{self.score!r},{self.stratum},{self.inclusion_probability!r}"


@dataclass(frozen=True)
class Drawn:
    record: DrawRecord
    pairs: Sequence[DrawnPair]
    """in a random order, so that the place of a pair does not hint at its score"""

    @property
    def command(self) -> str:
        """The command line that cuts with the labels, once they are in `labels.csv`."""
        record = self.record
        words = ["siglane", "filter", "--table", record.table, "--by", record.by]
        words += [] if record.where is None else ["--where", record.where]
        words += ["--max-mismatch-fraction", f"{record.max_mismatch_fraction:g}", "--labels", "labels.csv"]
        return shlex.join([*words, "--output", "kept"])


def draw(table: Table, by: str, where: str | None, fraction: float, count: int, seed: int) -> Drawn:
    """Draws `count` of the scored pairs, or all of them if there are no more.

    With the same seed, table and condition, a larger count draws the same pairs and further ones.

    Args:
        by: the column of the cut.
        where: SQL; other rows are not drawn.
        fraction: the mismatch fraction that the labels are to certify.

    Raises:
        UsageError: so few labels cannot certify that fraction, even if all of them are right.
        TableError: no pair is scored, the column is not numeric, or `where` is not SQL over this table.
    """
    require_numbers(table, [by])
    require_higher_is_better(table, by)
    selection = Selection(one_cut(by, max_mismatch_fraction=fraction), where=where, seed=seed)
    (group,) = read_groups(table, by, selection.condition, None)
    assert selection.cut is not None
    require_scores(table, selection.cut, len(group.scores), selection.condition)
    least = fewest(fraction)
    if count < min(least, len(group.scores)):
        raise UsageError(
            f"--count {count}: too few to certify that at most {fraction:.2%} are mismatched, even if every label is "
            f"right; give {least} or more, or a larger --max-mismatch-fraction"
        )
    made = design(group.scores, count, _kept_share(table, selection, fraction))
    places = _sample(group, made, seed)
    drawn_from = [stratum for stratum in made.strata for _ in range(stratum.drawn)]
    read = pairs.read(table, group.addresses[places].tolist(), [by, *stored_columns(table, SIDE)])
    found = [
        DrawnPair(
            read[int(group.addresses[place])],
            float(group.scores[place]),
            made.strata.index(stratum),
            stratum.drawn / stratum.pairs,
        )
        for place, stratum in zip(places, drawn_from, strict=True)
    ]
    _require_distinct(table, found)
    order = np.random.default_rng([seed, len(made.strata)]).permutation(len(found))
    shown = [found[place] for place in order]
    return Drawn(_record(table, selection, group, made, shown), shown)


def _kept_share(table: Table, selection: Selection, fraction: float) -> float | None:
    (cosines,) = read_groups(table, schema.COSINE, selection.condition, None)
    if not len(cosines.addresses):
        return None
    return kept_share(samples.draw(table, cosines.addresses, selection.seed), fraction, selection.seed)


def _sample(group: ScoredGroup, made: Design, seed: int) -> npt.NDArray[np.intp]:
    """Indices of the drawn pairs, one stratum after another: of each, a simple random sample without replacement."""
    drawn, above = [], np.inf
    for number, stratum in enumerate(made.strata):
        inside = np.flatnonzero((group.scores >= stratum.lowest) & (group.scores < above))
        drawn.append(np.random.default_rng([seed, number]).permutation(inside)[: stratum.drawn])
        above = stratum.lowest
    return np.concatenate(drawn)


def _require_distinct(table: Table, found: Sequence[DrawnPair]) -> None:
    ((uid, times),) = Counter(pair.uid for pair in found).most_common(1)
    if times > 1:
        raise TableError(
            f"table {table.uri}: {times} of the drawn rows have the uid {uid}, but labels are by uid; draw with "
            "another --seed, or exclude repeated rows with --where"
        )


def _record(
    table: Table, selection: Selection, group: ScoredGroup, made: Design, shown: Sequence[DrawnPair]
) -> DrawRecord:
    assert selection.cut is not None
    record = DrawRecord(
        table=str(replace(table.uri, state=None)),
        table_version=table.version,
        weights=table.identity.weights,
        by=selection.cut.columns[0],
        where=selection.where,
        seed=selection.seed,
        max_mismatch_fraction=selection.cut.value,
        pairs=len(group.scores),
        scores=population(group.scores),
        strata=tuple(Stratum(stratum.lowest, stratum.pairs, stratum.drawn) for stratum in made.strata),
    )
    return record.model_copy(update={"draw": record.id_of(pair.uid for pair in shown)})

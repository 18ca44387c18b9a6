"""The certified cut of a table's pairs, from a file of labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from pipeline import schema
from pipeline.errors import EstimateError, UsageError
from pipeline.filtering.certified import labels as files
from pipeline.filtering.certified.certificate import Certificate
from pipeline.filtering.certified.design import CONFIDENCE, Design, population, uniform
from pipeline.filtering.certified.labels import Label, LabelFile
from pipeline.filtering.certified.sequence import Labelled, Outcome, certify, more_labels
from pipeline.filtering.scores import ScoredGroup
from pipeline.table import ROW_ADDRESS, Table

Unsure = Literal["wrong", "left-out"]

ASSUMES = "the labelled pairs are a simple random sample of the scored pairs"
"""for labels that no draw of ours chose"""
_UIDS_AT_ONCE = 1000
_KOLMOGOROV = 1.63
"""the distance times sqrt(L) that a random sample exceeds in 1 % of cases"""


def certified(
    table: Table, by: str, where: str | None, pairs: ScoredGroup, file: Path, unsure: Unsure, fraction: float
) -> Certificate:
    """Certifies the loosest cut of these pairs at which at most `fraction` of the kept ones is mismatched.

    Raises:
        UsageError: the file has no valid labels, or they are not labels of these pairs with these scores.
        EstimateError: the labels do not certify any cut.
    """
    given = files.read(file)
    if given.draw is not None:
        _require_same_score(given, table, by, where)
    score_L = _scores_now(given, table, by, where, pairs)
    design = _uniform(given, pairs, score_L) if given.draw is None else _design(given, pairs, score_L)
    value_L = np.array([label.value for label in given.labels])
    counted_L = np.ones(len(value_L), bool) if unsure == "wrong" else value_L != files.UNSURE
    outcome = certify(pairs.scores, design, Labelled(score_L[counted_L], value_L[counted_L] != files.RIGHT), fraction)
    if outcome.certified is None:
        raise EstimateError(_why_not(given, outcome, design, by, unsure, fraction))
    kept_L = score_L >= outcome.certified.threshold
    return Certificate(
        fraction=fraction,
        confidence=CONFIDENCE,
        threshold=outcome.certified.threshold,
        labels=int(kept_L.sum()),
        wrong=int((value_L[kept_L] == files.WRONG).sum()),
        unsure=int((value_L[kept_L] == files.UNSURE).sum()),
        unsure_as=unsure,
        labels_given=len(value_L),
        mismatch_fraction=outcome.certified.wrong_share,
        draw=None if given.draw is None else given.draw.draw,
        assumes=ASSUMES if given.draw is None else None,
    )


def _require_same_score(given: LabelFile, table: Table, by: str, where: str | None) -> None:
    draw, row = given.draw, given.labels[0].row
    assert draw is not None
    if draw.by != by:
        raise given.wrong(row, f"it was drawn by {draw.by}, not by {by}; give --by {draw.by}")
    if draw.where != where:
        used, fix = (
            ("without --where", "leave out --where")
            if draw.where is None
            else (f"with --where {draw.where!r}", f"give --where {draw.where!r}")
        )
        raise given.wrong(row, f"it was drawn {used}, so its labels are about other pairs; {fix}")
    if draw.weights != table.identity.weights:
        raise given.wrong(
            row,
            f"it was drawn by the scores of model {draw.weights[:12]}, but table {table.uri} has scores of model "
            f"{table.identity.weights[:12]}; label pairs of this table",
        )


def _scores_now(
    given: LabelFile, table: Table, by: str, where: str | None, pairs: ScoredGroup
) -> npt.NDArray[np.float64]:
    """The score of each labelled pair, [L].

    Raises:
        UsageError: one is not among the pairs, or has another score than when it was drawn.
    """
    found, scored = _look_up(given, table, by, pairs)
    scores = []
    for label in given.labels:
        if label.uid not in found:
            drawn_from = "" if given.draw is None else f"; it was drawn from {given.draw.table}"
            raise given.wrong(label.row, f"uid {label.uid} is not in table {table.uri}{drawn_from}; check --table")
        if label.uid not in scored:
            lacks = f"has no {by}" if where is None else f"has no {by}, or does not meet --where"
            raise given.wrong(label.row, f"uid {label.uid} {lacks}, so it is none of the pairs to cut; remove the row")
        score = _of_one_row(given, label, scored[label.uid])
        if label.score is not None and not np.isclose(score, label.score, rtol=1e-6, atol=1e-9):
            raise given.wrong(
                label.row,
                f"uid {label.uid} had {by} {label.score:.6g} when it was drawn and has {score:.6g} now; the labels are "
                "of another state of the table, so draw and label pairs again",
            )
        scores.append(score)
    return np.array(scores, np.float64)


def _of_one_row(given: LabelFile, label: Label, scores: Sequence[float]) -> float:
    """Of the pairs with the label's uid, the score of the labelled one. A drawn pair is known by its score."""
    if label.score is not None:
        drawn_with = label.score
        return min(scores, key=lambda score: abs(score - drawn_with))
    if len(scores) > 1:
        raise given.wrong(
            label.row,
            f"{len(scores)} of the pairs to cut have the uid {label.uid}, and nothing shows which of them is labelled; "
            "exclude repeated rows with --where, or label pairs of siglane label",
        )
    return scores[0]


def _look_up(given: LabelFile, table: Table, by: str, pairs: ScoredGroup) -> tuple[set[str], Mapping[str, list[float]]]:
    """The labelled uids that the table has, and the scores of those among the pairs: several for a repeated uid."""
    uids = [label.uid for label in given.labels]
    found, scored = set[str](), dict[str, list[float]]()
    for start in range(0, len(uids), _UIDS_AT_ONCE):
        listed = ", ".join(f"'{uid}'" for uid in uids[start : start + _UIDS_AT_ONCE])
        for batch in table.scan([schema.UID, by], f"{schema.UID} IN ({listed})", addresses=True):
            inside = np.isin(batch[ROW_ADDRESS].to_numpy(), pairs.addresses)
            values = batch[schema.UID].to_pylist(), batch[by].to_pylist(), inside.tolist()
            for uid, score, is_inside in zip(*values, strict=True):
                found.add(uid)
                if is_inside:
                    scored.setdefault(uid, []).append(float(score))
    return found, scored


def _uniform(given: LabelFile, pairs: ScoredGroup, score_L: npt.NDArray[np.float64]) -> Design:
    """The design of labels from elsewhere: that their pairs were drawn from all pairs alike.

    Raises:
        UsageError: their scores show that they were not, by Kolmogorov's test at a level of 1 %.
    """
    falling = np.sort(pairs.scores)
    low, high = (np.searchsorted(falling, score_L, side) for side in ("left", "right"))
    rank_L = np.sort((low + high) / 2 / len(falling))  # equal scores have the rank of their middle
    steps = np.arange(len(rank_L) + 1) / len(rank_L)
    distance = max(np.max(steps[1:] - rank_L), np.max(rank_L - steps[:-1]))
    if distance > _KOLMOGOROV / np.sqrt(len(rank_L)):
        raise UsageError(
            f"labels {given.file}: the labelled pairs are no random sample of the scored pairs: "
            f"{np.mean(rank_L >= 0.5):.0%} of them are in the better half of the scores; if siglane label drew them, "
            f"keep all columns that its page saves ({', '.join(files.COLUMNS)}), else label pairs drawn at random"
        )
    return uniform(pairs.scores, len(score_L))


def _design(given: LabelFile, pairs: ScoredGroup, score_L: npt.NDArray[np.float64]) -> Design:
    """The design that the labels were drawn by.

    Raises:
        UsageError: the pairs have changed since, or the labels are not those of the drawn pairs.
    """
    draw = given.draw
    assert draw is not None
    if draw.pairs != len(pairs.scores) or draw.scores != population(pairs.scores):
        now = f"there are {len(pairs.scores)} now" if draw.pairs != len(pairs.scores) else "their scores have changed"
        raise UsageError(
            f"labels {given.file}: the pairs were drawn from {draw.pairs} scored pairs of version "
            f"{draw.table_version}, and {now}; to filter that state, give "
            f"--table {draw.table}@{draw.table_version}, or draw and label pairs again"
        )
    design = draw.design
    if len(score_L) < design.drawn:
        raise UsageError(
            f"labels {given.file}: {design.drawn - len(score_L)} of the {design.drawn} drawn pairs have no label; "
            "label all of them on the page (those that you cannot judge as unsure), and save again"
        )
    if draw.draw != draw.id_of(label.uid for label in given.labels):
        raise UsageError(
            f"labels {given.file}: its {len(score_L)} labels are not those of the {design.drawn} drawn pairs; use "
            "the file as the page saved it"
        )
    return design


def _why_not(given: LabelFile, outcome: Outcome, design: Design, by: str, unsure: Unsure, fraction: float) -> str:
    cut = outcome.first
    counted = "with those unsure" if unsure == "wrong" else "without those unsure"
    why = (
        f"labels {given.file}: they certify no cut with at most {fraction:.2%} mismatched pairs: at the first one "
        f"that was tested, {by} >= {cut.threshold:.6g}, {cut.wrong} of {cut.labelled} labels are wrong ({counted})"
    )
    more = more_labels(outcome, design, fraction)
    if given.draw is None:
        why += f"; this assumes that {ASSUMES}"
    if more is None:
        advice = "more labels would not certify it; ask for a larger fraction, or rank by a better score with --by"
    else:
        total = len(given.labels) + more
        how = f"siglane label --count {total}" if given.draw else f"label {total} in all, drawn at random"
        advice = (
            f"about {more} more labels would, if as many of them are right (each further try may be wrong in "
            f"{1 - CONFIDENCE:.0%} of cases too): {how}"
        )
    return f"{why}; nothing was written; {advice}"

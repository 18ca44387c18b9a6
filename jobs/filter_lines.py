"""What `siglane filter` says about a filter that has ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipeline.filtering import Filtered, FilteredCut, FilteredGroup
from pipeline.filtering.certified.certificate import Certificate
from pipeline.mismatch.estimate import CONTRADICTIONS, MIN_PAIRS
from pipeline.wording import counted, noun

_NOT_COUNTED = "captions that are nearly right are not counted"
_OF = {"random": "random other", "similar": "similar"}
_MANY_GENERIC = 0.01


def lines(result: Filtered, output: Path, by: str, per: str | None) -> Iterator[str]:
    """The lines, most important first."""
    yield from _contradiction(result)
    if result.scored is None:
        yield f"{output}: kept {result.kept} of {counted(result.rows, 'pair')}"
    else:
        unscored = result.rows - result.scored
        yield (
            f"{output}: kept {result.kept} of {counted(result.scored, 'scored pair')}"
            + (_limit(by, result.groups[0]) if len(result.groups) == 1 else "")
            + (f"; {counted(unscored, 'pair has', 'pairs have')} no score" if unscored else "")
        )
    yield from _estimate_lines(result)
    if result.fit is not None:
        yield f"these q-values were estimated {result.fit.how}"
    if result.certified is not None:
        yield from _certificate(Certificate(**result.certified))
    for group in result.groups:
        if per is not None:
            of = group.rows if group.scored is None else group.scored
            yield f"  {per} {group.value!r}: kept {group.kept} of {of}{_limit(by, group)}"
        if result.scored is None:
            yield from map(_line, group.cuts)


def _contradiction(result: Filtered) -> Iterator[str]:
    assumes = result.assumes if result.fit is None else result.fit.how.assumes
    if result.contradicted and assumes is not None:
        yield CONTRADICTIONS[assumes]


def _estimate_lines(result: Filtered) -> Iterator[str]:
    said, interval, upper = result.mismatch_fraction, result.mismatch_interval, result.mismatch_upper_any
    if said is None or interval is None or upper is None:
        return
    pooled = [group for group in result.groups if group.estimate is not None and group.estimate["groups"] > 1]
    if pooled:
        have = noun(len(pooled), "has", "have")
        yield f"{counted(len(pooled), 'group')} with fewer than {MIN_PAIRS} pairs {have} one cut together"
    if result.assumes == "any":
        yield (
            f"at most {said:.2%} of the kept pairs are mismatched, with captions of random or of similar images; "
            f"{_NOT_COUNTED}"
        )
    elif result.contradicted:
        most = f"up to {upper:.2%} of the kept pairs" if upper < 1 else "any share of the kept pairs"
        yield (
            f"{most} may be mismatched; an estimate of {said:.2%} holds only if wrong captions are those of "
            f"{_OF[result.assumes or 'random']} images alone, which the scores contradict; {_NOT_COUNTED}"
        )
    else:
        of = _OF[result.assumes or "random"]
        most = f"at most {upper:.2%} if they are of both kinds" if upper < 1 else "of both kinds, nobody can tell"
        yield (
            f"an estimated {said:.2%} of the kept pairs are mismatched ({interval[0]:.2%} to {interval[1]:.2%}) if "
            f"wrong captions are those of {of} images, {most}; {_NOT_COUNTED}"
        )
    generic = max(group.estimate["generic_captions"] for group in result.groups if group.estimate is not None)
    if generic >= _MANY_GENERIC:
        yield (
            f"about {generic:.1%} of the captions score nearly as high with any image, as 'image for sale' does; wrong "
            "ones among them are counted"
        )


def _certificate(found: Certificate) -> Iterator[str]:
    given = "" if found.assumes is None else f", if {found.assumes}, which nothing shows"
    meaning = "counted as wrong" if found.unsure_as == "wrong" else "taken to be wrong as often as the others"
    yield (
        f"certified with {found.confidence:.0%} confidence{given}: at most {found.fraction:.2%} of the kept pairs are "
        f"mismatched ({found.labels} of them are labelled: {found.wrong} wrong, {found.unsure} unsure"
        + (f", {meaning})" if found.unsure else ")")
    )


def _limit(by: str, group: FilteredGroup) -> str:
    """The threshold of a single cut; empty with a rule, or where no pair is kept."""
    if group.threshold is None:
        return ""
    sign = "<=" if group.made[0].at_most else ">="
    return f", {by} {sign} {group.threshold:.6g}"


def _line(cut: FilteredCut) -> str:
    sign = "<=" if cut.at_most else ">="
    limit = "keeps nothing" if cut.threshold is None else f"{cut.by} {sign} {cut.threshold:.6g}"
    of, passed = counted(cut.scored, "scored pair"), noun(cut.passed, "passes", "pass")
    return f"  {cut.rule or 'the only cut'}: {limit}: {cut.passed} of {of} {passed}"

"""What every kind of cut keeps to. A new module in `filtering/cuts` is tested here as it is.

Its values are those of `CANDIDATES` that its type takes: a kind that takes fewer than two of them needs more there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from jobs import filter  # noqa: A004
from pipeline import table
from pipeline.errors import EstimateError, UsageError
from pipeline.filtering import CutRule, Manifest, Selection, cuts, filter_table, one_cut, parse_rule, why
from pipeline.filtering.made_cut import MadeCut
from pipeline.filtering.selection import made_cuts
from pipeline.table import Table
from tests.tables import write_table
from tests.vectors import simulated

PAIRS = 2000
NUMBERS = [-1.5, 0.0, 0.001, 0.03, 0.05, 0.1, 0.2, 0.29, 0.5, 0.75, 1.0, 3, 40]
NO_VALUES = [float("nan"), float("inf"), -1.5, 0.0, 1.0, 3, "many", [], {}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of pairs, 30 % of them mismatched, and earlier filters of it with two thresholds."""
    pairs, _ = simulated(PAIRS, 0.3, seed=1)
    folder = tmp_path_factory.mktemp("cuts")
    languages = [["en", "fr"][row % 2] for row in range(PAIRS)]
    write_table(folder / "t", pairs.image_vectors, pairs.text_vectors, lang=languages)
    for threshold in (0.1, 0.3):
        for per in (None, "lang"):
            selection = Selection(one_cut("cosine", min=threshold), per=per)
            filter_table(opened(folder), selection, folder / f"{threshold}-{per}", tag=False)
    return folder


def opened(folder: Path) -> Table:
    return table.open_table(table.parse(str(folder / "t")))


def candidates(folder: Path, per: str | None) -> list[Any]:
    return [*NUMBERS, *(folder / f"{threshold}-{per}" for threshold in (0.1, 0.3))]


def takes(kind: str, value: Any) -> bool:
    try:
        TypeAdapter(cuts()[kind].VALUE).validate_python(value)
    except ValidationError:
        return False
    return True


def made(folder: Path, kind: str, per: str | None) -> Iterator[tuple[Any, list[MadeCut]]]:
    """Each value that the kind takes with the cut of each group, for as many as a cut can be made for."""
    for value in candidates(folder, per):
        if takes(kind, value):
            try:
                groups = made_cuts(opened(folder), Selection(one_cut("cosine", **{kind: value}), per=per))
            except EstimateError:
                continue
            assert all(len(group.cuts) == 1 for group in groups)
            yield value, [group.cuts[0] for group in groups]


def scores(folder: Path, language: str | None) -> np.ndarray:
    where = None if language is None else f"lang = '{language}'"
    return np.concatenate([batch["cosine"].to_numpy() for batch in opened(folder).scan(["cosine"], where)])


@pytest.mark.parametrize("per", [None, "lang"])
@pytest.mark.parametrize("kind", cuts())
def test_a_cut_keeps_the_first_of_the_ranked_pairs_and_by_its_value_more_or_fewer(
    folder: Path, kind: str, per: str | None
) -> None:
    found = list(made(folder, kind, per))
    assert len(found) >= 2, "the type takes too few of the values here: add some"
    for place, language in enumerate([None] if per is None else ["en", "fr"]):
        of_group = scores(folder, language)
        kept = [of_groups[place].passed(of_group) for _, of_groups in found]
        for (_, of_groups), count in zip(found, kept, strict=True):
            cut = of_groups[place]
            ranked = np.sort(of_group) if cut.at_most else -np.sort(-of_group)
            within = ranked <= np.float64(cut.threshold) if cut.at_most else ranked >= np.float64(cut.threshold)
            assert within[:count].all()
            if cut.ties_kept is None:
                assert not within[count:].any()
        assert kept in (sorted(kept), sorted(kept, reverse=True))
        assert len(set(kept)) > 1


@pytest.mark.parametrize("per", [None, "lang"])
@pytest.mark.parametrize("kind", cuts())
def test_a_filter_keeps_what_its_cut_says_and_its_manifest_and_why_tell_it(
    folder: Path, tmp_path: Path, kind: str, per: str | None
) -> None:
    for number, (value, of_groups) in enumerate(made(folder, kind, per)):
        out = tmp_path / str(number)
        result = filter_table(opened(folder), Selection(one_cut("cosine", **{kind: value}), per=per), out, tag=False)
        groups = [scores(folder, language) for language in ([None] if per is None else ["en", "fr"])]
        assert [group.kept for group in result.groups] == [
            cut.passed(of_group) for cut, of_group in zip(of_groups, groups, strict=True)
        ]
        told = Manifest.read(out)
        asked = told.model_dump(mode="json")[kind]
        assert asked == (str(value) if isinstance(value, Path) else value)
        for group, cut in zip(told.groups, of_groups, strict=True):
            assert group.made == [MadeCut(cut.threshold, cut.ties_kept, cut.at_most)]
        for row in (0, 1, 2):
            (judged,) = why(table.parse(str(folder / "t")), f"{row:032x}", out)
            cut, cosine = of_groups[row % len(of_groups)], judged.row["cosine"]
            if cosine != cut.threshold:
                assert judged.kept == (cosine <= cut.threshold if cut.at_most else cosine >= cut.threshold)


@pytest.mark.parametrize("kind", cuts())
def test_a_value_that_is_none_is_refused_with_the_key(kind: str) -> None:
    refused = [value for value in NO_VALUES if not takes(kind, value)]
    assert refused
    for value in refused:
        with pytest.raises(UsageError, match=rf"^rule r\.yaml: all\[0\]\.{kind}: .+, not "):
            parse_rule({"all": [{"by": "cosine", kind: value}]}, "rule r.yaml")


@pytest.mark.parametrize("kind", cuts())
def test_a_weighted_sum_is_cut_or_refused(folder: Path, tmp_path: Path, kind: str) -> None:
    value = next(value for value in reversed(candidates(folder, None)) if takes(kind, value))
    rule = {"weighted_sum": {"cosine": 1, "source_row": 1}, kind: value}
    if not cuts()[kind].FOR_SUMS:
        with pytest.raises(UsageError, match=f"{kind} needs by; it cannot be used with weighted_sum"):
            parse_rule(rule, "rule")
        return
    result = filter_table(opened(folder), Selection(rule=parse_rule(rule, "rule")), tmp_path / "out", tag=False)
    (cut,) = result.groups[0].cuts
    assert (cut.scored, cut.passed) == (PAIRS, result.kept)
    assert cut.scales is not None
    assert cut.scales.keys() == {"cosine", "source_row"}


@pytest.mark.parametrize("kind", cuts())
def test_a_kind_is_a_key_of_rules_and_with_help_an_option_and_a_key_of_the_manifest(
    folder: Path, tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    flag = f"--{kind.replace('_', '-')}"
    value = next(value for value in candidates(folder, None) if takes(kind, value))
    rule = parse_rule({"by": "cosine", kind: value}, "rule")
    assert isinstance(rule, CutRule)
    assert (rule.limit, rule.value) == (kind, value)
    run = ["--table", "t", "--output", "out", flag, str(value), "--print-config"]
    if cuts()[kind].HELP is None:
        assert filter.main(run) == 2
        assert f"unknown option '{flag}'" in capfd.readouterr().err
        return
    assert filter.main(run) == 0
    assert TypeAdapter(cuts()[kind].VALUE).validate_python(yaml.safe_load(capfd.readouterr().out)[kind]) == value
    filter_table(opened(folder), Selection(one_cut("cosine", min=0.2)), tmp_path / "out", tag=False)
    assert kind in Manifest.read(tmp_path / "out").model_dump()
    assert filter.main([*run[:-3], f"{flag}=not-{kind}", "--rule", "r.yaml"]) == 2
    assert flag in capfd.readouterr().err

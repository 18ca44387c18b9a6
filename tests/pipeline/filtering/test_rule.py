"""Rules of several cuts: what they keep beside a plain reading in pandas, what they say, and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import filter, why  # noqa: A004
from pipeline import table
from pipeline.errors import EstimateError, TableError, UsageError
from pipeline.filtering import Filtered, Selection, filter_table, one_cut
from pipeline.filtering.rule import parse_rule, read_rule
from tests.rows import rows_of
from tests.tables import cosines_as, write_table
from tests.vectors import simulated

ROWS = 400


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scores with gaps of each kind, sizes of many ties, and three languages."""
    rng = np.random.default_rng(1)
    quality, aspect = rng.normal(5, 2, ROWS), rng.uniform(1, 4, ROWS).astype(np.float32)
    quality[rng.choice(ROWS, 40)] = math.nan
    quality[rng.choice(ROWS, 3)] = math.inf
    side = [
        None if gap else int(size) for gap, size in zip(rng.random(ROWS) < 0.1, rng.integers(1, 9, ROWS), strict=True)
    ]
    return write_table(
        tmp_path_factory.mktemp("pairs") / "t",
        *cosines_as(rng.uniform(-0.5, 0.9, ROWS)),
        quality=quality,
        aspect=aspect,
        side=pa.array(side, pa.int32()),
        lang=[["en", "fr", None][kind] for kind in rng.integers(0, 3, ROWS)],
    )


def keep(path: Path, output: Path, rule: Any, **more: Any) -> tuple[Filtered, list[int]]:
    selection = Selection(rule=parse_rule(rule, "rule"), **more)
    result = filter_table(table.open_table(table.parse(str(path))), selection, output)
    kept = pq.ParquetDataset(sorted(output.glob("*.parquet"))).read(["key"]).to_pylist()
    assert len(kept) == result.kept == sum(group.kept for group in result.groups)
    return result, sorted(int(row["key"]) for row in kept)


def by_hand(frame: pd.DataFrame, rule: dict[str, Any]) -> pd.Series:
    """Which rows meet the rule, read as docs/filtering.md says it."""
    if "all" in rule:
        return pd.concat([by_hand(frame, member) for member in rule["all"]], axis=1).all(axis=1)
    if "any" in rule:
        return pd.concat([by_hand(frame, member) for member in rule["any"]], axis=1).any(axis=1)
    weights = rule.get("weighted_sum", {})
    columns = frame[list(weights) or [rule["by"]]].astype(float).replace([math.inf, -math.inf], math.nan).dropna()
    scaled = (columns - columns.min()) / (columns.max() - columns.min())
    value = sum(weight * scaled[name] for name, weight in weights.items()) if weights else columns[rule["by"]]
    if "min" in rule:
        kept = value[value >= rule["min"]]
    elif "max" in rule:
        kept = value[value <= rule["max"]]
    else:
        ranked = pd.DataFrame({"value": -value, "uid": frame["uid"][value.index]}).sort_values(["value", "uid"])
        kept = ranked.head(math.floor(rule["top_fraction"] * len(ranked) + 1e-9))
    return pd.Series(frame.index.isin(kept.index), frame.index)


def frame_of(path: Path) -> pd.DataFrame:
    frame = pd.DataFrame(rows_of(path).values())
    return frame.set_index(frame["key"].astype(int))


RULES = [
    {"by": "cosine", "min": 0.2},
    {"by": "side", "max": 3},
    {"all": [{"by": "cosine", "min": 0.0}, {"by": "quality", "top_fraction": 0.5}, {"by": "aspect", "max": 3}]},
    {"any": [{"by": "side", "top_fraction": 0.3}, {"all": [{"by": "aspect", "max": 1.5}, {"by": "side", "max": 6}]}]},
    {"weighted_sum": {"cosine": 0.7, "quality": 0.3}, "top_fraction": 0.3},
    {"any": [{"weighted_sum": {"side": 1, "aspect": -2}, "min": 0.4}, {"by": "quality", "min": 1000}]},
    {"all": [{"weighted_sum": {"side": 1}, "top_fraction": 0.55}, {"by": "quality", "top_fraction": 0}]},
]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("per", [None, "lang"])
def test_a_rule_keeps_what_its_words_say(pairs: Path, tmp_path: Path, rule: dict[str, Any], per: str | None) -> None:
    where = "side IS NULL OR side < 8"
    frame = frame_of(pairs)
    frame = frame[frame["side"].isna() | (frame["side"] < 8)]
    groups = [frame] if per is None else [group for _, group in frame.groupby(per, dropna=False)]
    expected = pd.concat([by_hand(group, rule) for group in groups])
    result, kept = keep(pairs, tmp_path / "out", rule, where=where, per=per)
    assert kept == sorted(expected.index[expected])
    assert result.kept == len(kept)
    assert result.rows == len(frame)


def test_the_manifest_tells_every_cut(pairs: Path, tmp_path: Path) -> None:
    rule = RULES[2]
    result, kept = keep(pairs, tmp_path / "out", rule)
    manifest = json.loads((tmp_path / "out.siglane" / "manifest.json").read_text())
    assert (manifest["rule"], manifest["by"], manifest["kept"]) == (rule, None, len(kept))
    assert (manifest["scored"], manifest["threshold"], manifest["mismatch_fraction"]) == (None, None, None)
    frame = frame_of(pairs)
    told = manifest["groups"][0]["cuts"]
    assert [(cut["rule"], cut["by"]) for cut in told] == [
        ("all[0]", "cosine"),
        ("all[1]", "quality"),
        ("all[2]", "aspect"),
    ]
    assert [cut["passed"] for cut in told] == [int(by_hand(frame, member).sum()) for member in rule["all"]]
    assert [cut["scored"] for cut in told] == [ROWS, int(np.isfinite(frame["quality"]).sum()), ROWS]
    assert (told[0]["threshold"], told[2]["threshold"], told[2]["at_most"]) == (0.0, 3.0, True)
    assert result.groups[0].cuts[1].passed == told[1]["passed"]


def test_why_tells_each_value_cut_and_verdict(pairs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sums = {"weighted_sum": {"cosine": 0.7, "quality": 0.3}, "top_fraction": 0.3}
    (tmp_path / "rule.yaml").write_text(json.dumps({"any": [{"by": "side", "max": 2}, {"all": [sums]}]}))
    run = ["--table", str(pairs), "--rule", str(tmp_path / "rule.yaml"), "--output", str(tmp_path / "out")]
    assert filter.main([*run, "--json"]) == 0
    out, err = capfd.readouterr()
    told = json.loads(out)
    assert (told["by"], told["scored"], told["rows"]) == (None, None, ROWS)
    assert "any[1].all[0]: 0.7 x cosine + 0.3 x quality >= 0." in err
    frame = frame_of(pairs)
    for row in (frame.index[frame["side"] == 2][0], frame.index[frame["quality"].isna() & (frame["side"] == 5)][0]):
        asked = [
            "--table",
            str(pairs),
            "--uid",
            frame["uid"][row],
            "--manifest",
            str(tmp_path / "out.siglane/manifest.json"),
        ]
        assert why.main([*asked, "--json"]) == 0
        out, err = capfd.readouterr()
        (judged,) = json.loads(out)["results"]
        first, second = judged["cuts"]
        assert first["rule"] == "any[0]"
        assert (first["value"], first["cut"], first["passed"]) == (
            frame["side"][row],
            2.0,
            bool(frame["side"][row] <= 2),
        )
        assert f"any[0] {'passed' if first['passed'] else 'failed'}: side" in err
        if np.isnan(frame["quality"][row]):
            assert second["because"] == "has no 0.7 x cosine + 0.3 x quality"
            assert (judged["kept"], judged["because"]) == (False, "the rule does not hold")
        else:
            assert judged["kept"]


def test_a_verdict_by_a_rule_becomes_a_column(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t", *cosines_as([0.1, 0.5, 0.7]), side=[3, 2, 1])
    rule = parse_rule({"all": [{"by": "cosine", "min": 0.3}, {"by": "side", "top_fraction": 0.67}]}, "rule")
    filter_table(table.open_table(table.parse(str(path))), Selection(rule=rule), tmp_path / "out", flag="good")
    assert list(frame_of(path).sort_index()["good"]) == [False, True, False]


def test_of_rows_of_one_uid_that_tie_the_first_ones_are_kept(tmp_path: Path) -> None:
    uids = [f"{uid:032x}" for uid in (3, 2, 2, 2, 1, 9)]
    path = write_table(tmp_path / "t", *cosines_as([0.1] * 6), uid=uids, side=[5, 5, 5, 5, 5, 7])
    result, kept = keep(path, tmp_path / "out", {"by": "side", "top_fraction": 0.67})
    assert kept == [1, 2, 4, 5]
    assert result.groups[0].cuts[0].ties_kept == 3


def test_an_estimate_is_of_the_pairs_that_pass_its_cut(tmp_path: Path) -> None:
    simulation, wrong = simulated(2000, 0.3, seed=1)
    path = write_table(tmp_path / "t", simulation.image_vectors, simulation.text_vectors, side=np.arange(2000) % 4)
    alone = Selection(one_cut("cosine", max_mismatch_fraction=0.05))
    single = filter_table(table.open_table(table.parse(str(path))), alone, tmp_path / "alone", tag=False)
    rule = {"all": [{"by": "side", "min": 2}, {"by": "cosine", "max_mismatch_fraction": 0.05}]}
    result, kept = keep(path, tmp_path / "out", rule)
    cut = result.groups[0].cuts[1]
    assert (cut.threshold, cut.passed, cut.estimate) == (single.threshold, single.kept, single.groups[0].estimate)
    assert result.mismatch_fraction is None
    assert wrong[kept].mean() < 0.08
    with pytest.raises(
        EstimateError, match=r"the mismatch fraction of all\[1\] cannot be estimated: there are 100 pairs"
    ):
        keep(path, tmp_path / "few", rule, where="CAST(key AS INT) < 100")


def test_a_threshold_of_an_earlier_filter_can_be_one_of_the_cuts(pairs: Path, tmp_path: Path) -> None:
    keep_best = Selection(one_cut("quality", top_fraction=0.25))
    filter_table(table.open_table(table.parse(str(pairs))), keep_best, tmp_path / "best")
    manifest = tmp_path / "best.siglane" / "manifest.json"
    rule = {"all": [{"by": "quality", "threshold_from": str(manifest)}, {"by": "side", "min": 4}]}
    _, kept = keep(pairs, tmp_path / "out", rule)
    best = {"by": "quality", "top_fraction": 0.25}
    expected = by_hand(frame_of(pairs), {"all": [best, rule["all"][1]]})
    assert kept == sorted(expected.index[expected])


@pytest.mark.parametrize("per", [None, "lang"])
def test_the_cuts_of_an_earlier_rule_are_applied_as_they_were_found(
    pairs: Path, tmp_path: Path, per: str | None, capfd: pytest.CaptureFixture[str]
) -> None:
    """To a table whose own values would have made other cuts, and other scales of the sum."""
    sums, small = {"weighted_sum": {"cosine": 0.7, "quality": 0.3}, "top_fraction": 0.4}, {"by": "side", "max": 6}
    best = {"by": "aspect", "top_fraction": 0.5}
    keep(pairs, tmp_path / "first", {"all": [sums, {"any": [small, best]}]}, per=per)
    rng = np.random.default_rng(2)
    other = write_table(
        tmp_path / "other",
        *cosines_as(rng.uniform(0.2, 0.95, 200)),
        quality=rng.normal(7, 4, 200),
        aspect=rng.uniform(2, 8, 200).astype(np.float32),
        side=rng.integers(4, 12, 200).astype(np.int32),
        lang=[["en", "fr", None][kind] for kind in rng.integers(0, 3, 200)],
    )
    expected = []
    theirs, ours = frame_of(pairs), frame_of(other)
    for language in [None] if per is None else ["en", "fr", None]:
        of_them, of_us = (
            frame if per is None else frame[frame["lang"].isna() if language is None else frame["lang"] == language]
            for frame in (theirs, ours)
        )
        whole = of_them[["cosine", "quality"]].astype(float).replace([math.inf, -math.inf], math.nan).dropna()
        low, span = whole.min(), whole.max() - whole.min()
        least = (((whole - low) / span) @ [0.7, 0.3])[by_hand(of_them, sums)].min()
        kept = ((of_us[["cosine", "quality"]].astype(float) - low) / span) @ [0.7, 0.3] >= least
        kept &= (of_us["side"] <= 6) | (of_us["aspect"] >= of_them["aspect"][by_hand(of_them, best)].min())
        expected += list(of_us.index[kept])

    first = tmp_path / "first.siglane" / "manifest.json"
    run = ["--table", str(other), *(["--per", per] if per else []), "--output", str(tmp_path / "second")]
    assert filter.main([*run, "--threshold-from", str(first), "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert 0 < told["kept"] == len(expected) < 200
    assert (told["by"], told["scored"]) == (None, None)
    second = tmp_path / "second.siglane" / "manifest.json"
    of_first, of_second = (json.loads(manifest.read_text()) for manifest in (first, second))
    assert of_second["rule"] == of_first["rule"]
    for name in ("threshold", "at_most", "scales"):
        assert cuts_of(of_second, name) == cuts_of(of_first, name)

    run[-1] = str(tmp_path / "third")
    assert filter.main([*run, "--threshold-from", str(second), "--by", "logit"]) == 2
    assert "this filter used a rule; leave out --by logit" in capfd.readouterr().err
    assert filter.main([*run, "--threshold-from", str(second)]) == 0
    kept_rows = pq.ParquetDataset(sorted((tmp_path / "third").glob("*.parquet"))).read(["uid", "key"])
    assert sorted(map(int, kept_rows["key"].to_pylist())) == sorted(expected)
    asked = ["--table", str(other), "--uid", kept_rows["uid"][0].as_py(), "--json"]
    assert why.main([*asked, "--manifest", str(tmp_path / "third.siglane" / "manifest.json")]) == 0
    assert json.loads(capfd.readouterr().out)["results"][0]["kept"]


def cuts_of(manifest: dict[str, Any], name: str) -> list[list[Any]]:
    return [[cut[name] for cut in group["cuts"]] for group in manifest["groups"]]


def test_an_earlier_rule_does_not_fit_other_groups_or_a_single_cut(pairs: Path, tmp_path: Path) -> None:
    rule = {"all": [{"by": "cosine", "min": 0.1}, {"by": "side", "max": 3}]}
    keep(pairs, tmp_path / "first", rule, per="lang")
    manifest = tmp_path / "first.siglane" / "manifest.json"
    with pytest.raises(UsageError, match="that filter used --per lang; give --per lang"):
        keep(pairs, tmp_path / "out", rule, earlier=manifest)
    with pytest.raises(UsageError, match="that filter used a rule, not --by cosine; give --threshold-from without"):
        keep(pairs, tmp_path / "out", {"by": "cosine", "threshold_from": str(manifest)}, per="lang")
    keep(pairs, tmp_path / "part", rule, where="lang = 'en'", per="lang")
    with pytest.raises(TableError, match="rows with lang 'fr': the manifest has no threshold for them"):
        keep(pairs, tmp_path / "out", rule, earlier=tmp_path / "part.siglane" / "manifest.json", per="lang")


def test_a_signal_that_no_row_has_is_named(pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"no numeric column 'sides'; .*--signal NAME`; the table has .*side"):
        keep(pairs, tmp_path / "out", {"any": [{"by": "cosine", "min": 0}, {"by": "sides", "min": 0}]})
    with pytest.raises(TableError, match=r"no row meets the condition .*side > 100"):
        keep(pairs, tmp_path / "out", {"weighted_sum": {"side": 1, "quality": 1}, "min": 0}, where="side > 100")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a rule: None; give e.g. {by: cosine, min: 0.1}, or a list under all or any"),
        ("all: []", "all: the list is empty; give one or more rules"),
        ("any: cosine", "any: needs a list of rules, not 'cosine'"),
        ("all: [{by: cosine}]", "all[0]: give one of max, max_mismatch_fraction, min, threshold_from and top_fraction"),
        ("all: [{by: a, min: 1}, {any: [{min: 1}]}]", "all[1].any[0]: give either by or weighted_sum"),
        (
            "{by: a, mim: 1}",
            "unknown key 'mim'; a cut has either by or weighted_sum, and one of max, max_mismatch_fraction,",
        ),
        ("all: [{by: a, min: 1}]\nany: [{by: a, min: 1}]", "unknown key 'any'; all and any must be the only key"),
        ("any: [{by: a, min: high}]", "any[0].min: Input should be a valid number, unable to parse string"),
        ("{by: a, min: .nan}", "min: Input should be a finite number, not nan"),
        ("{weighted_sum: {a: 1}, max_mismatch_fraction: 0.05}", "max_mismatch_fraction needs by"),
        ("all: [", "cannot be read: "),
    ],
)
def test_a_rule_that_says_nothing_clear_is_refused_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "rule.yaml"
    file.write_text(text)
    with pytest.raises(UsageError) as refused:
        read_rule(file)
    assert str(refused.value).startswith(f"rule {file}: {said}")
    assert "\n" not in str(refused.value)

"""q-values: what they say of pairs whose truth is known."""

from __future__ import annotations

from pathlib import Path

import lance
import numpy as np
import pytest

from jobs import score
from pipeline import table
from pipeline.errors import EstimateError, TableError, UsageError
from pipeline.mismatch.estimate import curves, estimate
from pipeline.mismatch.q_values import Fit, How, QValues, from_curves, stored_fit
from pipeline.scoring import fill_signal
from pipeline.table import TableUri
from tests.rows import rows_of
from tests.tables import write_table
from tests.vectors import simulated


@pytest.fixture
def noisy(tmp_path: Path) -> tuple[TableUri, np.ndarray]:
    """A table of 1,504 pairs in three languages, the last with few rows, 30 % of them wrong; which are."""
    pairs, wrong = simulated(1504, 0.3, seed=1)
    languages = ["en"] * 750 + ["fr"] * 700 + ["de"] * 54
    halves = ["a" if row < 752 else "b" for row in range(1504)]
    path = write_table(tmp_path / "t", pairs.image_vectors, pairs.text_vectors, lang=languages, half=halves)
    return table.parse(str(path)), wrong


def filled(uri: TableUri, how: How | None = None, again: bool = False) -> int:
    return sum(fill_signal(uri, "q_value", again, how=how or How("cosine", None, "random")))


def column(uri: TableUri, name: str) -> np.ndarray:
    rows = rows_of(f"{uri.database}/{uri.name}")
    return np.array([row[name] for row in sorted(rows.values(), key=lambda row: int(row["key"]))], float)


def test_pairs_with_a_q_value_of_at_most_r_are_those_that_a_cut_for_r_keeps(noisy: tuple[TableUri, np.ndarray]) -> None:
    uri, wrong = noisy
    assert filled(uri) == 1504
    q_values, cosines = column(uri, "q_value"), column(uri, "cosine")
    pairs, _ = simulated(1504, 0.3, seed=1)
    for fraction in (0.02, 0.05, 0.1):
        kept = q_values <= fraction
        cut = estimate(pairs, fraction, 0).threshold
        assert abs(int(kept.sum()) - int((cosines >= cut).sum())) < 15
        assert wrong[kept].mean() < fraction + 0.03
    order = np.argsort(cosines)
    assert (np.diff(q_values[order]) <= 1e-6).all()
    assert (np.diff(column(uri, "posterior_error")[order]) <= 1e-6).all()


def test_posterior_errors_are_as_many_as_pairs_are_wrong(noisy: tuple[TableUri, np.ndarray]) -> None:
    uri, wrong = noisy
    filled(uri)
    errors = column(uri, "posterior_error")
    assert ((errors >= 0) & (errors <= 1)).all()
    assert errors.mean() == pytest.approx(wrong.mean(), abs=0.03)
    assert errors[~wrong].mean() < 0.1 < 0.8 < errors[wrong].mean()


def test_a_bound_is_never_below_the_estimate(noisy: tuple[TableUri, np.ndarray]) -> None:
    uri, _ = noisy
    filled(uri)
    random = column(uri, "q_value")
    with pytest.raises(TableError, match=r"version by cosine, wrong captions random.* or --all"):
        filled(uri, How("cosine", None, "any"))
    assert filled(uri, How("cosine", None, "any"), again=True) == 1504
    assert (column(uri, "q_value") >= random - 1e-6).all()


def test_each_group_has_its_own_and_small_ones_have_one_together(noisy: tuple[TableUri, np.ndarray]) -> None:
    uri, _ = noisy
    filled(uri)
    of_all = column(uri, "q_value")
    with pytest.raises(EstimateError, match=r'of the pairs with lang "de" cannot be estimated: there are 54 pairs'):
        filled(uri, How("cosine", "lang", "random"), again=True)
    assert (column(uri, "q_value") == of_all).all()
    assert filled(uri, How("cosine", "half", "random"), again=True) == 1504
    halves = column(uri, "q_value")
    assert not np.allclose(halves, of_all, atol=1e-4)
    cosines, first = column(uri, "cosine"), np.arange(1504) < 752
    for half in (first, ~first):
        assert (np.diff(halves[half][np.argsort(cosines[half])]) <= 1e-6).all()


def test_rows_added_later_are_measured_by_the_stored_estimate(noisy: tuple[TableUri, np.ndarray]) -> None:
    uri, _ = noisy
    filled(uri)
    before = column(uri, "q_value")
    emptied = lance.dataset(uri.dataset)
    emptied.update({"q_value": "NULL", "posterior_error": "NULL"}, "CAST(key AS INT) < 400")
    emptied.delete("CAST(key AS INT) >= 1000")  # another estimate would come out of these rows
    assert filled(uri) == 400
    np.testing.assert_array_equal(column(uri, "q_value"), before[:1000])


def test_rows_of_a_group_without_an_estimate_are_told(
    noisy: tuple[TableUri, np.ndarray], capfd: pytest.CaptureFixture[str]
) -> None:
    uri, _ = noisy
    words = ["--table", f"{uri.database}/{uri.name}", "--signal", "q_value", "--per", "half", "--local"]
    assert score.main(words) == 0
    assert "had no estimate" not in "".join(capfd.readouterr())
    changed = lance.dataset(uri.dataset)
    changed.update({"half": "'c'", "q_value": "NULL", "posterior_error": "NULL"}, "CAST(key AS INT) < 20")
    changed.update({"cosine": "CAST('NaN' AS FLOAT)"}, "CAST(key AS INT) < 5")
    assert score.main(words) == 0
    assert "15 rows have a half that had no estimate, so their q_value is NaN" in "".join(capfd.readouterr())
    assert np.isnan(column(uri, "q_value")[:20]).all()


def test_two_runs_that_begin_at_once_leave_no_values_under_the_estimate_of_the_other(
    noisy: tuple[TableUri, np.ndarray],
) -> None:
    uri, _ = noisy
    hows = [How("cosine", None, "random"), How("cosine", None, "any")]
    first, second = (fill_signal(uri, "q_value", how=how) for how in hows)  # both are prepared, none has begun to fill
    with pytest.raises(
        TableError, match="another run has just begun to fill its q_value in another way; run one after"
    ):
        sum(first)
    assert sum(second) == 1504
    values = column(uri, "q_value")
    filled(uri, hows[1], again=True)
    np.testing.assert_array_equal(column(uri, "q_value"), values)


def test_a_score_without_decoys_is_refused(noisy: tuple[TableUri, np.ndarray]) -> None:
    with pytest.raises(UsageError, match="'logit': it cannot be computed for captions of other images"):
        filled(noisy[0], How("logit", None, "random"))


def test_scores_that_contradict_the_assumption_are_told_and_stored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pairs, _ = simulated(1504, 0.3, seed=2, similar=True)
    uri = table.parse(str(write_table(tmp_path / "t", pairs.image_vectors, pairs.text_vectors)))
    filled(uri)
    assert "the scores contradict that wrong captions are random" in caplog.text
    fit = stored_fit(table.open_table(uri), "posterior_error")
    assert fit is not None
    assert fit.contradicted
    assert stored_fit(table.open_table(uri), "cosine") is None


def test_a_fit_is_read_back_as_it_was_written() -> None:
    values = from_curves(curves(simulated(600, 0.3, seed=2)[0], 0), "any")
    fit = Fit(How("cosine", "lang", "any"), {'"en"': values, "null": QValues((0.0, 1.0), (1.0, 0.0), (1.0, 0.0))})
    assert Fit.from_json(fit.to_json()) == fit


def test_an_estimate_that_many_groups_share_is_stored_once() -> None:
    values = from_curves(curves(simulated(600, 0.3, seed=2)[0], 0), "random")
    one, many = (Fit(How("cosine", "n", "random"), {str(n): values for n in range(count)}) for count in (1, 500))
    assert len(many.to_json()) < len(one.to_json()) + 500 * 20


def test_rows_without_a_group_are_a_group(tmp_path: Path) -> None:
    pairs, wrong = simulated(1504, 0.3, seed=1)
    languages = [None if row % 2 else "en" for row in range(1504)]
    path = write_table(tmp_path / "t", pairs.image_vectors, pairs.text_vectors, lang=languages)
    uri = table.parse(str(path))
    assert filled(uri, How("cosine", "lang", "random")) == 1504
    kept = column(uri, "q_value") <= 0.05
    assert wrong[1::2][kept[1::2]].mean() < 0.08
    assert kept[1::2].sum() > 0.9 * (~wrong[1::2]).sum()
    assert filled(uri, How("cosine", "lang", "random")) == 0


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (How("cosine", "none", "random"), "no column 'none' of strings, integers or booleans; choose one of uid, "),
        (How("cosine", "image_vector", "random"), "no column 'image_vector' of strings, integers or booleans"),
        (How("cosine", "probability", "random"), "no column 'probability' of strings, integers or booleans"),
        (How("cosine", "uid", "random"), "column 'uid' has more than 1000 values"),
        (
            How("normalised_score", None, "random"),
            "no column 'normalised_score'; run `siglane score --table .* --signal",
        ),
    ],
)
def test_a_column_that_cannot_be_used_is_refused_before_anything_is_written(
    noisy: tuple[TableUri, np.ndarray], how: How, message: str
) -> None:
    uri, _ = noisy
    with pytest.raises(TableError, match=message):
        filled(uri, how)
    assert "q_value" not in table.open_table(uri).schema.names

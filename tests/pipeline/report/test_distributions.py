"""Histograms of a table's columns are those that numpy makes of all values at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline import table as tables
from pipeline.report import distributions
from pipeline.report.distributions import Distribution
from pipeline.table import Table
from tests.tables import cosines_as, write_table


def table_of(tmp_path: Path, **columns: np.ndarray) -> Table:
    rows = len(next(iter(columns.values())))
    write_table(tmp_path / "t", *cosines_as(np.linspace(-1, 1, rows)), **columns)
    return tables.open_table(tables.parse(str(tmp_path / "t")))


def measured(tmp_path: Path, values: np.ndarray) -> Distribution:
    (found,) = distributions.measure(table_of(tmp_path, values=values), ["values"])
    return found


def test_it_counts_what_lies_between_edges_and_knows_quantiles(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(5, 2, 5000)
    odd = np.concatenate([values, [np.nan, np.inf, -np.inf]])
    found = measured(tmp_path, odd)
    assert (found.values, found.missing) == (5000, 3)
    assert (found.low, found.high) == (values.min(), values.max())
    edges = np.linspace(1, 9, 33)
    outermost = np.concatenate([[-np.inf], edges[1:-1], [np.inf]])
    np.testing.assert_allclose(found.within(edges), np.histogram(values, outermost)[0], atol=2)
    for share in (0.05, 0.5, 0.999):
        assert found.quantile(share) == pytest.approx(np.quantile(values, share), abs=0.02)


def test_equal_values_stay_where_they_are(tmp_path: Path) -> None:
    found = measured(tmp_path, np.full(10, 7.5))
    assert found.within(np.array([7.0, 7.4, 7.6, 8.0])).tolist() == [0, 10, 0]
    assert found.quantile(0.5) == 7.5


def test_the_columns_are_scores_signals_and_other_floats(tmp_path: Path) -> None:
    table = table_of(tmp_path, similarity=np.ones(4), caption_words=np.arange(4), year=np.arange(4))
    assert distributions.columns(table) == ["cosine", "logit", "probability", "similarity", "caption_words"]

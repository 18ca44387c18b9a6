"""How fast runs were, as the history of their table tells."""

from __future__ import annotations

from pathlib import Path

from pipeline import table as tables
from pipeline.report import runs
from tests.embedding import embed
from tests.samples import write_photos
from tests.tables import cosines_as, write_table


def test_runs_of_the_same_options_are_one_and_only_what_was_timed_counts(tmp_path: Path, model: Path) -> None:
    table = tables.parse(str(tmp_path / "t"))
    photos = write_photos(tmp_path / "in", 12)
    embed(photos, tmp_path / "t", model)
    (first,) = runs.runs(tables.open_table(table))
    assert (first.rows, first.commits, first.timed_rows, first.rows_per_second) == (12, 1, 0, None)  # a new table's

    write_photos(photos, 3, first=12)
    embed(photos, tmp_path / "t", model)
    embed(write_photos(tmp_path / "more", 2, first=30), tmp_path / "t", model)
    same, other = runs.runs(tables.open_table(table))
    assert (same.rows, same.commits, same.timed_rows) == (15, 2, 3)
    assert 0 < same.seconds < 60
    assert same.rows_per_second == 3 / same.seconds
    assert (same.settings["input"], other.settings["input"]) == ([str(photos)], [str(tmp_path / "more")])
    assert (other.rows, other.timed_rows) == (2, 2)
    assert runs.runs(tables.open_table(tables.parse(f"{tmp_path / 't'}@1"))) == [first]


def test_a_table_whose_runs_said_nothing_of_themselves(tmp_path: Path) -> None:
    write_table(tmp_path / "t", *cosines_as([0.1, 0.2]))
    (run,) = runs.runs(tables.open_table(tables.parse(str(tmp_path / "t"))))
    assert (run.settings, run.rows, run.seconds) == ({}, 2, 0)

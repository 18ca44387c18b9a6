"""How fast runs were, as the history of their table tells."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipeline import table as tables
from pipeline.bottleneck import Bottleneck
from pipeline.report import runs
from pipeline.table import RunRecord
from tests.embedding import embed
from tests.processes import Siglane
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


def test_what_held_up_the_runs_is_taken_from_their_records(tmp_path: Path, model: Path) -> None:
    table = tables.parse(str(tmp_path / "t"))
    embed(write_photos(tmp_path / "in", 3), tmp_path / "t", model)
    embed(write_photos(tmp_path / "more", 2, first=30), tmp_path / "t", model)
    short, long = a_record(8, "encoders", 1), a_record(20, "input", 1)
    for record in (short, long, a_record(90, "commits", 7)):
        tables.RecordFile(table, record.id).write(record)
    assert [run.work for run in runs.runs(tables.open_table(table))] == [long.busy_with, None]


def test_the_page_tells_what_held_up_the_last_run_and_what_helps(
    siglane: Siglane, tmp_path: Path, undisturbed: Path
) -> None:
    shutil.copytree(f"{undisturbed}.lance", tmp_path / "t.lance")
    siglane("score", "--table", "t")
    siglane("report", "--table", "t", "--output", "without.html")
    assert "held up by" not in (tmp_path / "without.html").read_text()
    record = a_record(20, "input", 1)
    tables.RecordFile(tables.parse(str(tmp_path / "t")), record.id).write(record)
    siglane("report", "--table", "t", "--output", "with.html")
    page = (tmp_path / "with.html").read_text()
    assert "<th>held up by</th>" in page
    assert "<td>input</td>" in page
    helps = "decoding takes most of it: more CPUs would help, or --preprocessing fast"
    busy = f"Its encoders were busy 40% of the time; {helps}."
    assert f"The last run that recorded it was held up by its input. {busy}" in page


def a_record(seconds: float, bottleneck: Bottleneck, first_version: int) -> RunRecord:
    """Of a run that lasted so long."""
    began = datetime(2026, 1, 1, tzinfo=UTC)
    return RunRecord(
        *(tables.new_id(began), "embed", "embed of in", {}, "", "1", "host", "user", 1, "place", "1", None),
        started=began.isoformat(),
        seen=(began + timedelta(seconds=seconds)).isoformat(),
        ended=(began + timedelta(seconds=seconds)).isoformat(),
        state_at_end="done",
        first_version=first_version,
        at_work={"source": 0.2, "decode": 1.2, "encoders": 0.4, "writing": 0.1, "commits": 0.0},
        encoders_busy=0.4,
        bottleneck=bottleneck,
    )


def test_a_table_whose_runs_said_nothing_of_themselves(tmp_path: Path) -> None:
    write_table(tmp_path / "t", *cosines_as([0.1, 0.2]))
    (run,) = runs.runs(tables.open_table(tables.parse(str(tmp_path / "t"))))
    assert (run.settings, run.rows, run.seconds) == ({}, 2, 0)

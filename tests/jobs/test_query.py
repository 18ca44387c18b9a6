"""`siglane query`: queries of several parts, many at once, and files of hits."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from jobs import query
from tests.processes import Siglane
from tests.samples import jpeg, write_parquet
from tests.terminals import Terminal


@pytest.fixture(scope="module")
def embedded(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with six photos of two captions each, `in.parquet`, and their table, `t.lance`."""
    siglane = Siglane(tmp_path_factory.mktemp("embedded"))
    write_parquet(
        siglane.folder / "in.parquet",
        [jpeg(number // 2) for number in range(12)],
        [f"photo {number // 2}, caption {number % 2}" for number in range(12)],
    )
    siglane("embed", "--input", "in.parquet", "--table", "t", "--model", model, "--local")
    return siglane.folder


@pytest.fixture
def table(siglane: Siglane, embedded: Path) -> str:
    shutil.copytree(embedded, siglane.folder, dirs_exist_ok=True)
    return "t"


def test_hits_tell_where_they_are_and_what_was_asked_for(siglane: Siglane, table: str) -> None:
    found = siglane("query", "--table", table, "--text", "photo 1", "-k", 2, "--columns", "source_row,status")
    for hit in found["results"]:
        assert hit["status"] == "success"
        assert hit["source_row"] // 2 == int(hit["caption"][6])
        assert sorted(hit["captions"]) == [f"photo {hit['source_row'] // 2}, caption {number}" for number in range(2)]
    rows = siglane("query", "--table", table, "--text", "photo 1", "-k", 12, "--distinct", "row")["results"]
    assert len(rows) == 12


def test_texts_images_and_rows_add_up(siglane: Siglane, table: str) -> None:
    (siglane.folder / "a.jpg").write_bytes(jpeg(4))
    given = ["--text", "photo 1", "--image", "a.jpg", "--without", "photo 3"]
    found = siglane("query", "--table", table, *given, "-k", 6)["results"]
    assert len(found) == 6
    assert all(hit["probability"] is None for hit in found)
    assert found != siglane("query", "--table", table, "--image", "a.jpg", "-k", 6)["results"]


def test_a_file_of_queries_is_answered_in_one_run(siglane: Siglane, table: str) -> None:
    (siglane.folder / "queries.txt").write_text("photo 1\n\nphoto 4\n")
    found = siglane("query", "--table", table, "--queries", "queries.txt", "-k", 2, "--output", "hits.parquet")
    assert [each["text"] for each in found["queries"]] == ["photo 1", "photo 4"]
    alone = siglane("query", "--table", table, "--text", "photo 4", "-k", 2)["results"]
    assert [hit["uid"] for hit in found["queries"][1]["results"]] == [hit["uid"] for hit in alone]
    written = pq.read_table(siglane.folder / "hits.parquet")
    assert written["query"].to_pylist() == ["photo 1", "photo 1", "photo 4", "photo 4"]
    assert written["uid"].to_pylist()[2:] == [hit["uid"] for hit in alone]


def test_hits_are_written_as_csv(siglane: Siglane, table: str) -> None:
    found = siglane("query", "--table", table, "--text", "photo 1", "-k", 3, "--output", "hits.csv")["results"]
    with (siglane.folder / "hits.csv").open() as file:
        assert [row["uid"] for row in csv.DictReader(file)] == [hit["uid"] for hit in found]


def test_no_hit_is_an_empty_file_with_all_columns(siglane: Siglane, table: str) -> None:
    given = ["--text", "photo 1", "--min-probability", "1", "--columns", "source_row", "--output", "hits.parquet"]
    assert siglane("query", "--table", table, *given)["results"] == []
    written = pq.read_table(siglane.folder / "hits.parquet")
    assert (written.num_rows, written.column_names[-1]) == (0, "source_row")


def test_hits_of_several_queries_are_one_table_also_if_a_column_is_null_for_one(siglane: Siglane, table: str) -> None:
    siglane("score", "--table", table)
    siglane("dedup", "--table", table, "--method", "exact")
    (siglane.folder / "q.txt").write_text("photo 1\nphoto 2\n")
    given = ["--queries", "q.txt", "-k", 1, "--distinct", "row", "--columns", "duplicate_of", "--output", "h.parquet"]
    for where in ("true", "duplicate_of IS NULL", "duplicate_of IS NOT NULL"):
        siglane("query", "--table", table, *given, "--where", where)
        assert pq.read_table(siglane.folder / "h.parquet").schema.field("duplicate_of").type == "string"


def test_a_page_shows_the_hits_with_their_images(siglane: Siglane, table: str) -> None:
    """The browser is a command that writes down what it is to open."""
    browser = siglane.folder / "browser"
    browser.write_text('#!/bin/sh\necho "$1" > opened\n')
    browser.chmod(0o755)
    given = ["--table", table, "--text", "photo <b>1</b>", "-k", "2", "--open", "--input", "in.parquet", "--json"]
    process = siglane.start("query", *given, environment={"BROWSER": str(browser)})
    found = json.loads(process.communicate()[0])
    page = Path(found["page"])
    assert (siglane.folder / "opened").read_text().strip() == page.as_uri()
    html = page.read_text("utf-8")
    assert html.count('<img src="data:image/jpeg;base64,') == 2
    assert "photo &lt;b&gt;1&lt;/b&gt;" in html
    assert all(hit["uid"] in html for hit in found["results"])
    assert "source_row" not in found["results"][0]


def test_a_terminal_shows_a_table(siglane: Siglane, table: str) -> None:
    terminal = Terminal(siglane.folder, width=140)
    terminal.run("query", "--table", table, "--text", "photo 1", "-k", 2)
    heading, *rows = [line for line in terminal.screen if line.strip() and "──" not in line]
    assert heading.split() == ["cosine", "probability", "uid", "source", "key", "caption"]
    assert sum("in.parquet" in row for row in rows) == 2


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ([], "give --text, --image or --uid, or else --queries"),
        (["--text", "a", "--queries", "q.txt"], "or else --queries"),
        (["--queries", "q.txt", "--without", "a"], "--without goes with"),
        (["--text", "a", "--open"], "--open shows images, so it needs the --input"),
        (["--text", "a", "--input", "in.parquet"], "--input goes with --open"),
        (["--text", "a", "--output", "hits.txt"], "must end in .parquet or .csv"),
        (["--text", "a", "--columns", "sources"], "no column 'sources'; choose from source"),
        (["--text", "a", "--columns", "text_vector", "--output", "h.csv"], "CSV cannot hold the column 'text_vector'"),
        (["--text", "a", "-k", "99999999999999999999"], "-k: "),
        (["--image", "a.jpg", "--min-probability", "0.5"], "min_probability is for a query of the other kind"),
    ],
)
def test_what_does_not_go_together_is_refused(
    tmp_path: Path,
    table: str,
    options: list[str],
    named: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "q.txt").write_text("a\n")
    (tmp_path / "a.jpg").write_bytes(jpeg(4))
    monkeypatch.chdir(tmp_path)
    assert query.main(["--table", table, *options]) == 2
    assert named in capsys.readouterr().err


@pytest.mark.parametrize(("file", "named"), [("q.txt", "q.txt: it has no text"), ("none.txt", "none.txt")])
def test_a_file_of_queries_needs_a_text(
    tmp_path: Path,
    table: str,
    file: str,
    named: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "q.txt").write_text("\n\n")
    monkeypatch.chdir(tmp_path)
    assert query.main(["--table", table, "--queries", file]) == 1
    assert named in capsys.readouterr().err


def test_lines_of_queries_end_at_line_feeds_alone_and_a_mark_at_the_start_is_no_text(
    siglane: Siglane, table: str
) -> None:
    (siglane.folder / "q.txt").write_text("\ufeffphoto 1\r\na\u2028b\n", encoding="utf-8", newline="")
    found = siglane("query", "--table", table, "--queries", "q.txt", "-k", 1)["queries"]
    assert [each["text"] for each in found] == ["photo 1", "a\u2028b"]

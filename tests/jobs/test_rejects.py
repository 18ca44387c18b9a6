"""What the user learns of rejects: an example for each reason wherever rejects are counted, and `siglane rejects`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from jobs import rejects
from pipeline import schema
from pipeline.sample import MOST_SHOWN
from tests.jobs.test_report import Page
from tests.processes import Siglane
from tests.rows import rows_of
from tests.samples import write_photos
from tests.tables import write_table

FORBIDDEN = "urls.csv row 0: https://example.org/a.jpg: the URI is outside the input; allow its prefix with --allow-uri"


@pytest.fixture
def urls(tmp_path: Path) -> Path:
    """Three rows: an image outside the input, one that is not there, and one that is."""
    write_photos(tmp_path / "in", 1)
    rows = ["https://example.org/a.jpg,one", "gone.jpg,two", "photo0000.jpg,three"]
    (tmp_path / "in" / "urls.csv").write_text("\n".join(["image,caption", *rows, ""]))
    return tmp_path / "in" / "urls.csv"


def embed_badly(siglane: Siglane, urls: Path, model: Path) -> tuple[dict[str, Any], str]:
    """(summary, what is said) of a run with two rejects."""
    process = siglane.start("embed", "--input", urls, "--table", "t", "--model", model, "--local", "--json")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 3, err
    return json.loads(out), err


def hostile(path: Path, count: int = 400) -> Path:
    """A table whose first half was rejected, with names and messages that a terminal would obey."""
    bad = count // 2
    message = "a\x1b[31m\nb \u202e" + "x" * 5000
    columns: dict[str, Any] = {
        schema.KEY: [f"k\x07{row}" for row in range(count)],
        schema.SOURCE: ["worst.tar"] * (bad - 1) + ["other.tar"] + ["good.tar"] * (count - bad),
        schema.SOURCE_ROW: list(range(count)),
        schema.STATUS: [schema.REJECTED] * bad + [schema.SUCCESS] * (count - bad),
        schema.STAGE: ["decode"] * bad + [None] * (count - bad),
        schema.REASON: ["too-large"] * 3 + ["decode"] * (bad - 3) + [None] * (count - bad),
        schema.ERROR_MESSAGE: [message] * bad + [None] * (count - bad),
    }
    return write_table(path, np.eye(2)[np.zeros(count, int)], np.eye(2)[np.zeros(count, int)], **columns)


def test_embed_status_and_report_show_one_message_for_each_reason(
    siglane: Siglane, tmp_path: Path, urls: Path, model: Path
) -> None:
    summary, said = embed_badly(siglane, urls, model)
    assert set(summary["reject_examples"]) == {"forbidden-uri", "no-image"}
    assert summary["reject_examples"]["forbidden-uri"] == FORBIDDEN
    assert f"rejected as forbidden-uri, e.g. {FORBIDDEN}\n" in said
    assert said.endswith("`siglane rejects --table t` lists them\n")
    status = siglane("status", "--table", "t")
    assert status["reject_examples"] == summary["reject_examples"]
    told = siglane("report", "--table", "t", "--output", "page.html")
    assert told["reject_examples"] == summary["reject_examples"]
    assert f"forbidden-uri, e.g. {FORBIDDEN}" in Page(tmp_path / "page.html").text


def test_status_lists_the_reasons_beside_the_rejects(siglane: Siglane, urls: Path, model: Path) -> None:
    embed_badly(siglane, urls, model)
    _, said = siglane.start("status", "--table", "t").communicate(timeout=60)
    assert "3 rows: 2 rejected (1 forbidden-uri, 1 no-image), 1 success\n" in said
    assert f"rejected as forbidden-uri, e.g. {FORBIDDEN}\n" in said


def test_a_run_without_rejects_has_no_examples(siglane: Siglane, tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 2)
    run = siglane("embed", "--input", "in", "--table", "t", "--model", model, "--local")
    assert run["reject_examples"] == {}
    assert siglane("status", "--table", "t")["reject_examples"] == {}


def test_a_run_stopped_before_it_commits_shows_why(siglane: Siglane, tmp_path: Path, model: Path) -> None:
    lines = [f"gone{row}.jpg,a caption" for row in range(12_000)]
    write_photos(tmp_path / "in", 1)
    (tmp_path / "in" / "bad.csv").write_text("\n".join(["image,caption", *lines, ""]))
    run = ["embed", "--input", "in/bad.csv", "--table", "t", "--model", model, "--local"]
    summary = siglane(*run, code=3)
    assert summary["stopped"] == "max-reject-fraction"
    assert "gone" in summary["reject_examples"]["no-image"]


def test_the_list_has_all_that_names_a_row_and_its_message(siglane: Siglane, urls: Path, model: Path) -> None:
    embed_badly(siglane, urls, model)
    found = siglane("rejects", "--table", "t")
    assert (found["rejected"], found["rejected_by_reason"]) == (2, {"forbidden-uri": 1, "no-image": 1})
    assert (found["sources"], found["worst_sources"]) == (1, {"urls.csv": 2})
    first, second = found["results"]
    assert (first["source"], first["source_row"], first["key"]) == ("urls.csv", 0, "0")
    assert (first["stage"], first["reason"], first["message"]) == ("read", "forbidden-uri", FORBIDDEN)
    assert second["reason"] == "no-image"
    assert siglane("rejects", "--table", "t", "--reason", "no-image")["results"] == [second]
    _, said = siglane.start("rejects", "--table", "t", "-k", "1").communicate(timeout=60)
    assert f"urls.csv  0    read   forbidden-uri  {FORBIDDEN}\n" in said
    assert "… and 1 more" in said


def test_a_table_without_rejects_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    table = write_table(tmp_path / "t", np.eye(3), np.eye(3))
    assert rejects.main(["--table", str(table), "--output", str(tmp_path / "none.csv")]) == 0
    assert "no row was rejected\n" in capfd.readouterr().err
    assert (tmp_path / "none.csv").read_text().startswith('"source","source_row","key"')
    assert rejects.main(["--table", str(hostile(tmp_path / "u")), "--reason", "crash"]) == 0
    assert "no row was rejected as crash\n" in capfd.readouterr().err


def test_what_is_shown_is_short_and_no_terminal_obeys_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert rejects.main(["--table", str(hostile(tmp_path / "t")), "-k", "5", "--json"]) == 0
    out, err = capfd.readouterr()
    found = json.loads(out)
    assert [row["source"] for row in found["results"]] == ["other.tar", *["worst.tar"] * 4]
    assert list(found["worst_sources"].items()) == [("worst.tar", 199), ("other.tar", 1)]
    assert list(found["rejected_by_reason"].items()) == [("decode", 197), ("too-large", 3)]
    for row in found["results"]:
        assert row["message"].startswith("a\\x1b[31m\\nb \\u202ex")
        assert len(row["message"]) <= MOST_SHOWN
        assert row["key"].startswith("k\\x07")
    assert all(char.isprintable() for char in err.replace("\n", ""))
    assert max(map(len, err.splitlines())) < MOST_SHOWN + 100


def test_a_file_has_all_of_them_with_whole_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = hostile(tmp_path / "t")
    monkeypatch.setattr("pipeline.table.ROWS_PER_BATCH", 7)
    stored = {(row["source"], row["source_row"]): row for row in rows_of(table).values()}
    run = ["--table", str(table), "-k", "1", "--output"]
    for name in ("all.jsonl", "all.parquet", "all.CSV"):
        assert rejects.main([*run, str(tmp_path / name)]) == 0
    lists = [
        [json.loads(line) for line in (tmp_path / "all.jsonl").read_text("utf-8").splitlines()],
        pq.read_table(tmp_path / "all.parquet").to_pylist(),
        pyarrow.csv.read_csv(
            tmp_path / "all.CSV", parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True)
        ).to_pylist(),
    ]
    for rows in lists:
        assert len(rows) == 200
        for row in rows:
            there = stored[row["source"], row["source_row"]]
            assert [row[name] for name in ("key", "uid", "stage", "reason", "message")] == [
                there[name] for name in ("key", "uid", "stage", "reason", "error_message")
            ]
    assert [path.name for path in tmp_path.glob(".*")] == []


@pytest.mark.parametrize(("output", "code", "said"), [("all.txt", 2, "must end in"), ("none/a.csv", 1, "not exist")])
def test_a_file_that_cannot_be_written_is_refused(siglane: Siglane, output: str, code: int, said: str) -> None:
    write_table(siglane.folder / "t", np.eye(3), np.eye(3))
    assert said in siglane.fails("rejects", "--table", "t", "--output", output, code=code)

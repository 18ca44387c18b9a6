"""`siglane remove`: rows named by files of uids, urls, keys and hashes."""

from __future__ import annotations

import io
import re
import socket
from pathlib import Path

import lance
import numpy as np
import pytest

from jobs import filter, remove  # noqa: A004
from pipeline import schema
from tests.processes import Siglane
from tests.rows import rows_of
from tests.tables import write_table

URLS = [f"https://example.org/{row}.jpg?a=1,2" if row != 4 else None for row in range(6)]
KEYS = ["same", "same", " spaced key", "it's", "4", "5"]
KEPT_HASHES = [f"{row + 100:064x}" for row in range(6)]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Six rows with what img2dataset's columns name them by."""
    return write_table(tmp_path / "t", np.eye(6), np.eye(6), key=KEYS, url=URLS, sha256=KEPT_HASHES)


def removed(table: Path) -> list[int]:
    """The rows that were removed, by their number."""
    hashes = [f"{row:064x}" for row in range(6)]
    gone = [row for row in rows_of(table).values() if row[schema.STATUS] == schema.REMOVED]
    return sorted(hashes.index(row[schema.IMAGE_SHA256]) for row in gone)


@pytest.mark.parametrize(
    ("option", "lines", "rows", "missing"),
    [
        ("--urls", [URLS[1], "https://example.org/absent.jpg", "", f"  {URLS[2]}  "], [1, 2], 1),
        ("--keys", ["same", " spaced key", "spaced key", "it's"], [0, 1, 2, 3], 1),
        ("--sha256", [f"{3:064x}", KEPT_HASHES[5], "f" * 64], [3, 5], 1),
    ],
)
def test_rows_are_removed_by_what_names_them(
    siglane: Siglane, table: Path, option: str, lines: list[str], rows: list[int], missing: int
) -> None:
    (siglane.folder / "names.txt").write_text("\ufeff" + "\r\n".join(lines))
    run = ["remove", "--table", "t", option, "names.txt"]
    counted = siglane(*run, "--dry-run")
    assert (counted["removed"], counted["not_found"], removed(table)) == (len(rows), missing, [])
    done = siglane(*run)
    assert (done["removed"], done["not_found"], removed(table)) == (len(rows), missing, rows)


def test_a_column_that_is_not_there_is_named(siglane: Siglane, tmp_path: Path) -> None:
    write_table(tmp_path / "lists", np.eye(2), np.eye(2), url=[["https://example.org/0.jpg"], None])
    write_table(tmp_path / "bare", np.eye(2), np.eye(2))
    (tmp_path / "urls.txt").write_text(f"{URLS[0]}\n")
    line = siglane.fails("remove", "--table", "bare", "--urls", "urls.txt", code=1)
    assert "it has no column 'url' of texts (it has uid, key, " in line
    assert "--where" in line
    assert "no column 'url' of texts" in siglane.fails("remove", "--table", "lists", "--urls", "urls.txt", code=1)
    (tmp_path / "hashes.txt").write_text(f"{1:064x}\n")
    assert siglane("remove", "--table", "bare", "--sha256", "hashes.txt")["removed"] == 1


@pytest.mark.parametrize(
    ("option", "content", "said"),
    [
        ("--sha256", "abc\n", "entry 1, 'abc', is not a sha256; a sha256 is 64 hex characters"),
        ("--sha256", f"{'A' * 64}\n", "in lower case"),
        ("--urls", "\n \n", "the file is empty; give a text file with one url per line"),
    ],
)
def test_a_file_of_something_else_is_refused(
    siglane: Siglane, table: Path, option: str, content: str, said: str
) -> None:
    (siglane.folder / "names.txt").write_text(content)
    assert said in siglane.fails("remove", "--table", "t", option, "names.txt", code=2)
    both = ["--keys", "names.txt", "--where", "true"]
    assert "give one of --uids, --urls" in siglane.fails("remove", "--table", "t", *both, code=2)
    assert removed(table) == []


@pytest.fixture
def filtered(table: Path) -> str:
    """The tag of a filter of the table, whose output is in `kept`."""
    run = ["--table", str(table), "--by", "cosine", "--top-fraction", "0.5", "--output", str(table.parent / "kept")]
    assert filter.main(run) == 0
    (tag,) = lance.dataset(f"{table}.lance").tags.list()
    return str(tag)


def holds(table: Path, caption: str) -> bool:
    """Whether any file of the table has this text."""
    files = (path for path in Path(f"{table}.lance").rglob("*") if path.is_file())
    return any(caption.encode() in path.read_bytes() for path in files)


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A terminal at which somebody answers."""
    terminal = io.StringIO(text)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)


def test_a_purge_deletes_the_bytes_and_says_what_else_holds_them(siglane: Siglane, table: Path, filtered: str) -> None:
    assert holds(table, "caption 3")
    done = siglane("remove", "--table", "t", "--where", "caption = 'caption 3'", "--purge", "--yes")
    assert (done["removed"], done["purged"]["tags"]) == (1, [filtered])
    assert done["purged"]["outputs"] == [f"{table.parent}/kept on {socket.gethostname()}"]
    assert done["purged"]["versions"] > 0
    assert done["purged"]["bytes"] > 1000
    assert (holds(table, "caption 3"), holds(table, "caption 4"), removed(table)) == (False, True, [3])
    assert siglane("verify", "--table", "t")["problems"] == []
    assert siglane("tags", "--table", "t")["tags"] == []


def test_alone_it_purges_rows_that_were_removed_earlier(siglane: Siglane, table: Path) -> None:
    siglane("remove", "--table", "t", "--where", "caption = 'caption 3'")
    assert holds(table, "caption 3")
    assert siglane("remove", "--table", "t", "--purge", "--yes")["removed"] == 0
    assert (holds(table, "caption 3"), removed(table)) == (False, [3])


def test_without_a_terminal_it_refuses_with_the_list(siglane: Siglane, table: Path, filtered: str) -> None:
    line = siglane.fails("remove", "--table", "t", "--where", "caption = 'caption 3'", "--purge", code=2)
    assert re.search(
        rf"--purge deletes \d+ older versions and the tags {filtered} \(outputs .*/kept on .*; give --yes", line
    )
    assert (removed(table), holds(table, "caption 3")) == ([], True)
    assert list(lance.dataset(f"{table}.lance").tags.list()) == [filtered]


def test_a_dry_run_lists_and_changes_nothing(siglane: Siglane, table: Path, filtered: str) -> None:
    before = sorted((path, path.stat().st_size) for path in Path(f"{table}.lance").rglob("*"))
    plan = siglane("remove", "--table", "t", "--where", "caption = 'caption 3'", "--purge", "--dry-run")
    assert (plan["removed"], plan["purged"]["tags"], plan["purged"]["bytes"]) == (1, [filtered], 0)
    assert sorted((path, path.stat().st_size) for path in Path(f"{table}.lance").rglob("*")) == before


@pytest.mark.parametrize(("text", "code"), [("y\n", 0), ("yes\n", 0), ("\n", 1), ("n\n", 1), ("", 1)])
def test_it_asks_and_takes_only_a_yes(
    table: Path, filtered: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], text: str, code: int
) -> None:
    answer(monkeypatch, text)
    assert remove.main(["--table", str(table), "--where", "caption = 'caption 3'", "--purge"]) == code
    err = capfd.readouterr().err
    assert f"  {filtered}  version " in err
    assert "Go on? [y/N]" in err
    assert holds(table, "caption 3") == (code != 0)
    assert removed(table) == ([3] if code == 0 else [])


def test_yes_without_purge_is_refused(siglane: Siglane, table: Path) -> None:
    assert "--yes answers what --purge asks" in siglane.fails(
        "remove", "--table", "t", "--where", "true", "--yes", code=2
    )

"""What looks after a table, of rows that the command embedded onto the server: verify, status and remove."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import lance
import pytest

from jobs import cli
from pipeline import schema, table
from tests.processes import Siglane, wait_for
from tests.rows import Rows, assert_same_rows
from tests.services.store import Store, rows_on

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """A command in this process, with `--json`; gives its summary."""

    def run(*command: object, code: int = 0) -> dict[str, Any]:
        ended = cli.main([*map(str, command), "--json"])
        out, err = capfd.readouterr()
        assert ended == code, err
        summary: dict[str, Any] = json.loads(out)
        return summary

    return run


@pytest.fixture
def uri(store: Store) -> str:
    """Where there is no table yet."""
    return f"{store.bucket()}/db/t"


@pytest.fixture
def command(uri: str, pairs: str, model: Path) -> list[object]:
    """The command that makes the table, by many commits."""
    run = ["embed", "--input", pairs, "--table", uri, "--model", model, "--local"]
    return [*run, "--commit-seconds", "0", "--batch-size", "8"]


def test_a_whole_table_is_found_whole_and_left_as_it_is(
    store: Store, uri: str, pairs: str, command: list[object], run: Run
) -> None:
    run(*command)
    before = store.objects(uri)
    found = run("verify", "--table", uri, "--input", pairs, "--sample", 12, "--clean", "--repair")
    assert (found["problems"], found["mended"], found["not_checked"]) == ([], [], {})
    assert (found["rows"], found["sampled"]) == (240, 12)
    assert found["leftovers"]["orphans"] == 0
    assert store.objects(uri) == before


def test_what_a_dead_run_has_left_is_told_and_removed_and_the_command_goes_on(
    store: Store, uri: str, pairs: str, command: list[object], local: Rows, fatal: Siglane, run: Run
) -> None:
    process = fatal.start(*command, environment={"KILL_AT": "commit:before:3"})
    _, err = process.communicate(timeout=200)
    assert process.returncode == -signal.SIGKILL, err
    state = run("status", "--table", uri)
    (dead,) = state["runs"]
    assert (dead["state"], dead["pid"]) == ("dead", process.pid)
    assert 0 < state["last_commit"]["rows"] < state["rows"] < 240
    age = datetime.now(UTC) - datetime.fromisoformat(state["last_commit"]["time"])
    assert timedelta(seconds=-1) < age < timedelta(minutes=10)

    before = store.objects(uri)
    looked = run("verify", "--table", uri, "--input", pairs, code=1)
    assert {problem["check"] for problem in looked["problems"]} <= {"new-sources", "incomplete-sources"}
    assert looked["leftovers"]["orphans"] > 0
    assert len(looked["leftovers"]["dead_runs"]) == 1
    assert store.objects(uri) == before

    cleaned = run("verify", "--table", uri, "--input", pairs, "--clean", code=1)
    assert cleaned["leftovers"] == looked["leftovers"] | {"removed": True}
    gone = before.keys() - store.objects(uri).keys()
    assert {path.rpartition("/")[0] for path in gone} == {"db/t.lance/data"}
    assert len(gone) == cleaned["leftovers"]["orphans"]
    assert sum(len(before[path]) for path in gone) == cleaned["leftovers"]["bytes"]
    assert run("status", "--table", uri)["runs"] == []

    assert run(*command)["skipped"] == state["rows"]
    assert_same_rows(rows_on(store, uri), local)
    whole = run("verify", "--table", uri, "--input", pairs)
    assert (whole["ok"], whole["leftovers"]["orphans"]) == (True, 0)


def test_a_run_at_work_is_told_and_nothing_is_taken_from_it(
    store: Store, uri: str, pairs: str, command: list[object], local: Rows, siglane: Siglane, run: Run
) -> None:
    process = siglane.start(*command)
    wait_for(lambda: process.poll() is not None or has_entry(uri), "the run does not say that it is at work", 120)
    os.killpg(process.pid, signal.SIGSTOP)
    try:
        assert process.poll() is None
        (alive,) = run("status", "--table", uri)["runs"]
        assert (alive["state"], alive["pid"]) == ("alive", process.pid)
        assert alive["work"].startswith(f"embed of {pairs}")
        before = store.objects(uri)
        found = run("verify", "--table", uri, "--clean")
        assert len(found["leftovers"]["at_work"]) == 1
        assert found["leftovers"]["orphans"] == 0
        assert store.objects(uri) == before
    finally:
        os.killpg(process.pid, signal.SIGCONT)
    _, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert_same_rows(rows_on(store, uri), local)


def test_damage_is_found_and_mended_and_what_was_lost_is_embedded_again(
    store: Store, uri: str, pairs: str, command: list[object], local: Rows, run: Run
) -> None:
    run(*command)
    run("score", "--table", uri)
    damaged = lance.dataset(f"{uri}.lance", storage_options=dict(store.lance_options))
    damaged.update({schema.UID: "'x'"}, "source = '03.parquet' AND source_row = 5")
    damaged.update({schema.COSINE: "5"}, "source = '04.parquet' AND source_row = 1")
    damaged.update({schema.CAPTION: schema.CAPTION}, "source = '05.parquet'")  # its rows come into a file of their own
    (file,) = damaged.get_fragments()[-1].metadata.files
    store.delete(f"{uri}.lance/data/{file.path}")

    found = run("verify", "--table", uri, code=1)
    assert [(problem["check"], problem["count"]) for problem in found["problems"]] == [("files", 1)]
    mended = run("verify", "--table", uri, "--repair", code=1)
    assert {mend["check"]: mend["count"] for mend in mended["mended"]} == {"files": 1, "uid-format": 1, "scores": 1}
    assert ("rows-to-embed", 21) in [(problem["check"], problem["count"]) for problem in mended["problems"]]
    assert mended["rows"] == 219

    assert run(*command)["skipped"] == 219
    assert_same_rows(rows_on(store, uri), local)
    assert run("score", "--table", uri)["scored"] == 22
    assert run("verify", "--table", uri, "--input", pairs)["ok"]


def test_removed_rows_leave_what_names_them_and_stay_out(
    store: Store, uri: str, pairs: str, command: list[object], local: Rows, run: Run, tmp_path: Path
) -> None:
    run(*command)
    buried = {("01.parquet", row) for row in range(20)} | {("07.parquet", 4), ("11.parquet", 19)}
    uids = tmp_path / "uids.txt"
    uids.write_text("".join(f"{local[key]['uid']}\n" for key in buried if key[0] != "01.parquet"))

    before = store.objects(uri)
    assert run("remove", "--table", uri, "--uids", uids, "--dry-run")["removed"] == 2
    assert store.objects(uri) == before
    assert run("remove", "--table", uri, "--uids", uids)["removed"] == 2
    assert run("remove", "--table", uri, "--where", "source = '01.parquet'")["removed"] == 20
    assert run("remove", "--table", uri, "--uids", uids)["already_removed"] == 2

    assert run(*command)["skipped"] == 240
    rows = rows_on(store, uri)
    tombstones = {key: rows.pop(key) for key in buried}
    assert_same_rows(rows, {key: row for key, row in local.items() if key not in buried})
    for key, tombstone in tombstones.items():
        named = {name: value for name, value in tombstone.items() if value is not None}
        assert named.pop("status") == "removed"
        assert named == {name: local[key][name] for name in named}
        assert {"uid", "key", "source_version", "image_sha256"} <= named.keys()
        assert not {"caption", "image_vector", "text_vector"} & named.keys()
    state = run("status", "--table", uri)
    assert (state["rows_by_status"], state["runs"]) == ({"success": 218, "removed": 22}, [])
    found = run("verify", "--table", uri, "--input", pairs)
    assert (found["ok"], found["leftovers"]["orphans"]) == (True, 0)


def test_the_bytes_of_removed_rows_go_with_a_rewrite_and_a_clean_up(
    store: Store, uri: str, command: list[object], run: Run
) -> None:
    """As docs/table.md says that they do."""
    run(*command)
    run("remove", "--table", uri, "--where", "caption = 'caption 144'")
    assert [path for path, data in store.objects(uri).items() if b"caption 144" in data]
    dataset = lance.dataset(f"{uri}.lance", storage_options=dict(store.lance_options))
    dataset.optimize.compact_files(materialize_deletions_threshold=0)
    dataset.cleanup_old_versions(older_than=timedelta(0))
    assert not [path for path, data in store.objects(uri).items() if b"caption 144" in data]
    assert run("status", "--table", uri)["rows_by_status"] == {"success": 239, "removed": 1}


def has_entry(uri: str) -> bool:
    opened = table.open_if_exists(table.parse(uri))
    return opened is not None and bool(table.read_holders(opened))

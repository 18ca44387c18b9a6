"""`siglane runs`, and `siglane status` from the start of a run on: what a table records of its runs."""

from __future__ import annotations

import contextlib
import getpass
import json
import shutil
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pytest
import yaml

import pipeline
from pipeline import table as tables
from pipeline.embedding import measures
from pipeline.table import run_records
from pipeline.upkeep.status import status
from tests.processes import Siglane, kill_after_rows, kill_process_group, wait_for
from tests.rows import rows_of
from tests.s3 import S3
from tests.samples import write_photos
from tests.tables import write_table

Command = tuple[object, ...]
Here = Callable[..., dict[str, Any]]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Here:
    """Runs a command to its end in this process, with `--json`; gives its summary."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, *arguments: object) -> dict[str, Any]:
        capfd.readouterr()
        code = import_module(f"jobs.{name}").main([*map(str, arguments), "--json"])
        out, err = capfd.readouterr()
        assert code == 0, err
        return json.loads(out)  # type: ignore[no-any-return]

    return run


def listed(here: Here, table: object = "t", *more: object) -> list[dict[str, Any]]:
    return here("runs", "--table", table, *more)["runs"]  # type: ignore[no-any-return]


@pytest.fixture
def run(tmp_path: Path, model: Path) -> Command:
    """The command that embeds six photos, one of them broken."""
    write_photos(tmp_path / "in", 6)
    (tmp_path / "in" / "photo0005.jpg").write_bytes(b"no image")
    return "embed", "--input", "in", "--table", "t", "--model", model, "--local"


@contextlib.contextmanager
def silent_input(folder: Path) -> Iterator[Command]:
    """The options of an input whose only image never comes."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        (folder / "list.jsonl").write_text(f'{{"url": "{address}/x.jpg", "caption": "never comes"}}\n')
        yield "--input", "list.jsonl", "--allow-uri", address


def test_each_run_tells_who_did_what_when_and_how_fast(here: Here, tmp_path: Path, run: Command) -> None:
    first, again = here(*run), here(*run)
    scored = here("score", "--table", "t")
    assert (first["success"], first["rejected"], again["read"], scored["scored"]) == (5, 1, 0, 5)
    score, rerun, embed = listed(here)
    assert [each["command"] for each in (score, rerun, embed)] == ["score", "embed", "embed"]
    assert [each["state"] for each in (score, rerun, embed)] == ["done"] * 3
    assert (embed["rows_read"], embed["rows_embedded"], embed["rows_rejected"], embed["rows_skipped"]) == (6, 5, 1, 0)
    assert (embed["commits"], embed["first_version"], embed["last_version"], embed["exit_code"]) == (1, 1, 1, 0)
    assert (embed["encoders"], embed["device"], embed["ray_job"]) == (1, "cpu", None)
    assert (embed["host"], embed["user"], embed["siglane"]) == (
        socket.gethostname(),
        getpass.getuser(),
        pipeline.__version__,
    )
    assert embed["options"]["input"] == ["in"]
    assert embed["folder"] == str(tmp_path)
    started, ended = (datetime.fromisoformat(embed[name]) for name in ("started", "ended"))
    assert timedelta(0) < datetime.now(UTC) - started < timedelta(minutes=5)
    assert (ended - started).total_seconds() == pytest.approx(embed["seconds"])
    assert embed["rows_per_second"] == pytest.approx(6 / embed["seconds"], abs=0.001)
    assert (rerun["rows_read"], rerun["rows_skipped"], rerun["commits"], rerun["first_version"]) == (0, 6, 0, None)
    assert (score["rows_changed"], score["commits"], score["rows_read"]) == (5, 1, 0)
    assert score["first_version"] > embed["last_version"]


def test_a_run_tells_what_held_it_up(
    here: Here, run: Command, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(measures, "LEAST_SECONDS", 0.001)  # a short run is enough to tell
    summary = here(*run)
    (record,) = listed(here)
    told = ("at_work", "encoders_busy", "bottleneck")
    assert summary["bottleneck"] is not None
    assert {name: record[name] for name in told[1:]} == {name: summary[name] for name in told[1:]}
    assert record["at_work"].keys() == summary["at_work"].keys()
    assert import_module("jobs.runs").main(["--table", "t", "--run", record["id"]]) == 0
    assert f"# held up by its {record['bottleneck']}: " in capfd.readouterr().out


def test_the_list_is_a_table_for_people_and_ends_with_why_a_run_failed(
    here: Here, siglane: Siglane, tmp_path: Path, run: Command
) -> None:
    here(*run)
    (tmp_path / "in").rename(tmp_path / "elsewhere")
    siglane.fails(*run, code=1)
    process = siglane.start("runs", "--table", "t")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "")
    heads, failed, done, why = err.splitlines()
    names = ["run", "command", "started", "state", "time", "rows", "rejected", "skipped", "rows/s", "commits", "by"]
    assert heads.split() == [*names, "on"]
    assert [line.split()[4] for line in (failed, done)] == ["failed", "done"]
    assert failed.index("failed") == done.index("done") == heads.index("state")
    assert why == f"{failed.split()[0]}: input in: no such file or folder; check --input"
    assert done.endswith(f"1 (version 1)  {getpass.getuser()}@{socket.gethostname()}  1 × cpu")


def test_the_options_of_a_run_are_a_configuration_that_repeats_it(
    here: Here, siglane: Siglane, tmp_path: Path, run: Command
) -> None:
    here(*run, "--batch-size", 3)
    (record,) = listed(here)
    process = siglane.start("runs", "--table", "t", "--run", record["id"])
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert f"# run {record['id']} by {getpass.getuser()} on {socket.gethostname()} (process {record['pid']})" in out
    assert "# rows: 5 added, 1 rejected" in out
    assert yaml.safe_load(out) == record["options"]
    (tmp_path / "again.yaml").write_text(out)
    again = here("embed", "--config", "again.yaml", "--table", "t")
    assert (again["read"], again["skipped"]) == (0, 6)
    assert here("runs", "--table", "t", "--run", record["id"])["run"] == record
    assert listed(here)[0]["options"] == record["options"]


def test_no_secret_is_recorded(here: Here, run: Command, tmp_path: Path) -> None:
    here(*run, "--on-done", "true --header HOOKSECRET", "--allow-uri", "https://a.host/x?signature=SIGNEDSECRET")
    (record,) = listed(here)
    assert "on_done" not in record["options"]
    assert record["options"]["allow_uri"] == ["https://a.host/x?…"]
    stored = b"".join(path.read_bytes() for path in (tmp_path / "t.lance").rglob("*") if path.is_file())
    assert b"HOOKSECRET" not in stored
    assert b"SIGNEDSECRET" not in stored


def test_a_killed_run_is_killed_and_what_it_committed_is_counted(
    here: Here, siglane: Siglane, tmp_path: Path, dataset: Path, model: Path
) -> None:
    run = ("embed", "--input", dataset, "--table", "t", "--model", model, "--local", "--batch-size", 4)
    kill_after_rows(siglane.start(*run, "--commit-seconds", 0), tmp_path / "t.lance")
    (killed,) = listed(here)
    rows = rows_of(tmp_path / "t")
    assert (killed["state"], killed["ended"], killed["exit_code"]) == ("killed", None, None)
    assert killed["rows_read"] == len(rows) > 0
    assert killed["rows_rejected"] == sum(row["status"] == "rejected" for row in rows.values())
    assert 1 <= killed["first_version"] <= killed["last_version"]
    rest = here(*run)
    done, same = listed(here)
    assert (done["state"], done["rows_read"], done["rows_skipped"]) == ("done", rest["read"], killed["rows_read"])
    assert {**same, "options": None} == {**killed, "options": None}


def test_two_runs_at_once_are_told_apart_and_status_tells_both_before_there_is_a_table(
    here: Here, siglane: Siglane, tmp_path: Path, model: Path
) -> None:
    with silent_input(tmp_path) as silent:
        run = ("embed", *silent, "--table", "t", "--model", model, "--local")
        processes = [siglane.start(*run), siglane.start(*run, "--batch-size", 2)]

        def both() -> list[dict[str, Any]]:
            found = listed(here) if run_records.count_runs(tables.parse(str(tmp_path / "t"))) == 2 else []
            return found if all(record["progress"]["step"] == "embedding" for record in found) else []

        try:
            found = wait_for(both, "two runs are not recorded")
            assert {record["pid"] for record in found} == {process.pid for process in processes}
            assert len({record["id"] for record in found}) == 2
            assert sorted(record["options"]["batch_size"] for record in found) == [2, 64]
            assert {record["state"] for record in found} == {"running"}
            seen = here("status", "--table", "t")
        finally:
            for process in processes:
                kill_process_group(process)
    assert (seen["version"], seen["rows"], seen["last_commit"]) == (None, 0, None)
    assert {each["pid"] for each in seen["runs"]} == {process.pid for process in processes}
    assert {(each["state"], each["work"]) for each in seen["runs"]} == {("alive", "embed of list.jsonl")}
    assert {record["state"] for record in listed(here)} == {"killed"}
    assert {each["state"] for each in here("status", "--table", "t")["runs"]} == {"dead"}


def test_a_run_that_starts_on_a_table_is_told_before_its_first_commit(
    here: Here, siglane: Siglane, tmp_path: Path, model: Path
) -> None:
    """While it waits for a run on the same input, it has no entry in the table."""
    write_photos(tmp_path / "photos", 1)
    (tmp_path / "first.jsonl").write_text('{"url": "photos/photo0000.jpg", "caption": "a photo"}\n')
    embed = ("embed", "--table", "t", "--model", model, "--local", "--input")
    here(*embed, "first.jsonl")
    uri = tables.parse(str(tmp_path / "t"))

    def told() -> list[int]:
        return sorted(run.holder.pid for run in status(uri).runs)

    with silent_input(tmp_path) as silent:
        processes = [siglane.start(*embed, *silent[1:])]
        try:
            wait_for(lambda: tables.read_holders(tables.open_table(uri)), "the run does not get to its work")
            processes.append(siglane.start(*embed, *silent[1:]))
            pids = sorted(process.pid for process in processes)
            wait_for(lambda: told() == pids, "the second run is not told, or the first one twice")
        finally:
            for process in processes:
                kill_process_group(process)


def test_the_records_outlive_cleanups_of_versions_and_merges_and_go_with_a_copy(
    here: Here, tmp_path: Path, run: Command
) -> None:
    here(*run)
    here("score", "--table", "t")
    records = listed(here)
    dataset = lance.dataset(tmp_path / "t.lance")
    dataset.optimize.compact_files()
    dataset.cleanup_old_versions(older_than=timedelta(0), delete_unverified=True)
    here("verify", "--table", "t", "--clean", "--repair")
    assert listed(here) == records
    shutil.copytree(tmp_path / "t.lance", tmp_path / "copy.lance")
    assert listed(here, "copy") == records


def test_a_purge_leaves_of_the_records_what_names_no_content(here: Here, tmp_path: Path, run: Command) -> None:
    here(*run)
    cut = ("--by", "original_width", "--top-fraction", "1", "--where", "key <> 'photo0001'")
    here("filter", "--table", "t", "--output", "out", "--flag", "kept", *cut)
    before = listed(here)
    here("remove", "--table", "t", "--where", "key = 'photo0001'", "--purge", "--yes")
    for record, old in zip(listed(here), before, strict=True):
        assert record == old | {"work": old["command"], "options": {}, "message": None, "progress": None}
    assert not any("photo0001" in path.read_text() for path in (tmp_path / "t.lance" / "_siglane" / "runs").iterdir())
    shown = here("runs", "--table", "t", "--run", before[0]["id"])["run"]
    assert shown["options"] == {}


def test_wrong_usage_and_a_failure_before_there_is_a_table_leave_nothing(
    siglane: Siglane, tmp_path: Path, model: Path
) -> None:
    write_photos(tmp_path / "in", 1)
    siglane.fails("embed", "--input", "no", "--table", "db/t", "--model", model, "--local", code=1)
    siglane.fails("embed", "--input", "in", "--table", "in/t", "--model", model, "--local", code=2)
    assert {path.name for path in tmp_path.rglob("*")} == {"in", "photo0000.jpg", "photo0000.txt"}
    assert "no table at" in siglane.fails("runs", "--table", "db/t", code=1)
    assert "no table at" in siglane.fails("status", "--table", "db/t", code=1)


def test_a_table_without_records_says_so_and_a_run_that_is_not_there_is_named(
    here: Here, siglane: Siglane, tmp_path: Path
) -> None:
    write_table(tmp_path / "t", np.eye(8), np.eye(8))
    assert here("runs", "--table", "t") == {"table": "t", "recorded": 0, "runs": []}
    assert "t has no record of it" in siglane.fails("runs", "--table", "t", "--run", "20260101-000000-00000000", code=2)


def test_a_fixed_version_has_the_runs_that_it_comes_from(here: Here, run: Command) -> None:
    here(*run)
    here("score", "--table", "t")
    here(*run)
    assert [each["command"] for each in listed(here, "t@1")] == ["embed"]
    assert [each["command"] for each in listed(here, f"t@{listed(here)[1]['last_version']}")] == [
        "score",
        "embed",
    ]


def test_of_a_fixed_version_the_newest_of_its_own_runs_are_listed_and_the_others_counted(
    here: Here, siglane: Siglane, run: Command
) -> None:
    here(*run)
    here("score", "--table", "t")
    here("score", "--table", "t", "--all")
    later, score, _ = listed(here)
    fixed = f"t@{later['first_version'] - 1}"
    found = here("runs", "--table", fixed, "-k", 1)
    assert (found["recorded"], [each["id"] for each in found["runs"]]) == (2, [score["id"]])
    process = siglane.start("runs", "--table", fixed, "-k", 1)
    assert process.communicate(timeout=60)[1].splitlines()[-1] == "… and 1 more: -k lists more"


def test_the_newest_are_listed_and_the_others_counted(here: Here, siglane: Siglane, run: Command) -> None:
    here(*run)
    here("score", "--table", "t")
    found = here("runs", "--table", "t", "-k", 1)
    assert (found["recorded"], [each["command"] for each in found["runs"]]) == (2, ["score"])
    process = siglane.start("runs", "--table", "t", "-k", 1)
    assert process.communicate(timeout=60)[1].splitlines()[-1] == "… and 1 more: -k lists more"


@pytest.mark.parametrize("newer", ["00000000", "ffffffff"])
def test_of_runs_of_one_second_the_newest_are_listed_first(here: Here, tmp_path: Path, newer: str) -> None:
    """Their names tell only the second."""
    write_table(tmp_path / "t", np.eye(8), np.eye(8))
    here("dedup", "--table", "t", "--method", "exact")
    (whole,) = (tmp_path / "t.lance" / "_siglane" / "runs").iterdir()
    for name in ("00000000", "ffffffff"):
        started = f"2026-11-29T08:24:05.{'900' if name == newer else '100'}+00:00"
        record = json.loads(whole.read_bytes()) | {"id": f"20261129-082405-{name}", "started": started}
        whole.with_name(f"{record['id']}.json").write_text(json.dumps(record))
    whole.unlink()
    assert [each["id"][-8:] for each in listed(here, "t", "-k", 1)] == [newer]
    assert listed(here, "t", "-k", 2)[0]["id"].endswith(newer)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"id": "20990101-000000-00000000", "comm',
        {"started": "yesterday"},
        {"started": "2026-11-29T08:24:05"},
        {"seen": 5},
        {"state_at_end": "vanished"},
        {"options": None},
    ],
)
def test_a_file_that_is_no_record_is_named_and_hides_no_other(
    here: Here, siglane: Siglane, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes | dict[str, object]
) -> None:
    write_table(tmp_path / "t", np.eye(8), np.eye(8))
    here("dedup", "--table", "t", "--method", "exact")
    (whole,) = (tmp_path / "t.lance" / "_siglane" / "runs").iterdir()
    broken = whole.with_name("20990101-000000-00000000.json")
    if isinstance(content, dict):
        content = json.dumps(json.loads(whole.read_bytes()) | content).encode()
    broken.write_bytes(content)
    assert [each["command"] for each in listed(here)] == ["dedup"]
    assert f"{broken}: no record of a run" in caplog.text
    caplog.clear()
    assert here("status", "--table", "t")["rows"] == 8
    assert f"{broken}: no record of a run" in caplog.text
    said = siglane.fails("runs", "--table", "t", "--run", broken.stem, code=1)
    assert f"{broken}: no record of a run" in said
    assert "delete" in said


def test_a_record_that_cannot_be_written_fails_no_run(siglane: Siglane, tmp_path: Path, run: Command) -> None:
    (tmp_path / "t.lance").mkdir()
    (tmp_path / "t.lance" / "_siglane").write_bytes(b"")
    process = siglane.start(*run)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert len(rows_of(tmp_path / "t")) == 6
    assert f"table {tmp_path}/t: the record of this run, for `siglane runs`, is not written: " in err


def test_filters_are_recorded_where_they_flag_rows(here: Here, tmp_path: Path) -> None:
    write_table(tmp_path / "t", np.eye(8), np.eye(8))
    cut = ("filter", "--table", "t", "--top-fraction", 0.5)
    here(*cut, "--output", "a")
    here(*cut, "--output", "b", "--flag", "kept")
    here("dedup", "--table", "t", "--method", "exact")
    assert [each["command"] for each in listed(here)] == ["dedup", "filter"]
    assert [each["commits"] for each in listed(here)] == [1, 1]


def test_runs_on_a_store_are_recorded_there_and_reading_them_writes_nothing(
    here: Here, siglane: Siglane, s3: S3, run: Command
) -> None:
    table = f"{s3.bucket()}/db/t"
    here(*(table if word == "t" else word for word in run))
    before = s3.objects(table)
    (record,) = listed(here, table)
    assert (record["command"], record["state"], record["rows_read"]) == ("embed", "done", 6)
    assert s3.objects(table) == before
    assert any(record["id"] in key for key in before)
    assert not any(secret in json.dumps(record) for secret in s3.secrets)

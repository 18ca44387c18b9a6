"""`siglane verify` and `siglane status` as a user meets them."""

from __future__ import annotations

import json
import shutil
import signal
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import lance
import pyarrow as pa

from pipeline.table import lease, parse
from pipeline.upkeep import status
from tests.processes import Siglane, kill_process_group, start_python, wait_for


def test_verify_says_what_is_wrong_and_how_to_mend_it(siglane: Siglane, tmp_path: Path, undisturbed: Path) -> None:
    shutil.copytree(f"{undisturbed}.lance", tmp_path / "t.lance")
    summary = siglane("verify", "--table", "t")
    assert (summary["ok"], summary["problems"], summary["rows"]) == (True, [], 600)
    lance.dataset(str(tmp_path / "t.lance")).update({"uid": "'x'"}, "source = '03.parquet' AND source_row = 5")
    process = siglane.start("verify", "--table", "t")
    _, err = process.communicate()
    assert process.returncode == 1
    assert "uid-format: 1 (03.parquet row 5); --repair deletes these rows" in err
    assert err.endswith("siglane verify: 1 problem remains in t; each names its fix\n")


def test_verify_of_no_table_is_one_line(siglane: Siglane) -> None:
    assert "no table at" in siglane.fails("verify", "--table", "t", code=1)


def test_status_tells_rows_last_commit_and_that_nobody_is_at_work(
    siglane: Siglane, tmp_path: Path, undisturbed: Path
) -> None:
    shutil.copytree(f"{undisturbed}.lance", tmp_path / "t.lance")
    lance.dataset(str(tmp_path / "t.lance")).add_columns(pa.schema([("later", pa.int8())]))  # which brings no rows
    found = siglane("status", "--table", "t")
    assert found["rows"] == sum(found["rows_by_status"].values()) == 600
    assert found["rows_by_status"]["rejected"] == sum(found["rejected_by_reason"].values()) > 10
    assert found["runs"] == []
    last = found["last_commit"]
    assert last["version"] < found["version"]
    assert 0 < last["rows"] <= 600
    age = datetime.now(UTC) - datetime.fromisoformat(last["time"])
    assert timedelta(0) < age < timedelta(hours=1)


AT_WORK = """
import sys, time
from pipeline.progress import Details, current
from pipeline.table import Lease, parse
current.begin("embedding", details=lambda: Details(800, False, None, "input", 0.25))
current.add(300, 2)
with Lease(parse(sys.argv[1]), "embed of in") as held:
    held.keep()
    time.sleep(100)
"""


def test_watch_shows_how_far_a_run_is_until_it_ends(siglane: Siglane, tmp_path: Path, undisturbed: Path) -> None:
    shutil.copytree(f"{undisturbed}.lance", tmp_path / "t.lance")
    run = start_python(AT_WORK, tmp_path / "t")
    wait_for(lambda: status.glance(parse(str(tmp_path / "t"))).runs, "the other process does not take the lease")
    watch = siglane.start("status", "--table", "t", "--watch", "0.2", "--json")
    assert watch.stderr is not None
    far = "300 of about 800 rows (37 %), "
    for _ in range(3):
        line = watch.stderr.readline()
        assert line.startswith(f"embed of in on {socket.gethostname()}: {far}")
        assert line.endswith(" 2 rejected, input-bound (encoders busy 25 %); the table has 600 rows\n")
    (seen,) = siglane("status", "--table", "t")["runs"]
    assert (seen["progress"]["rows"], seen["progress"]["share"], seen["progress"]["bottleneck"]) == (
        300,
        0.375,
        "input",
    )
    kill_process_group(run)
    out, err = watch.communicate()
    assert watch.returncode == 0
    assert json.loads(out)["runs"][0]["state"] == "dead"
    assert f"dead: embed of in on {socket.gethostname()}" in err
    assert far in err.splitlines()[-1]


def test_a_heartbeat_by_a_clock_that_is_ahead_says_so(siglane: Siglane, tmp_path: Path, undisturbed: Path) -> None:
    shutil.copytree(f"{undisturbed}.lance", tmp_path / "t.lance")
    table = parse(str(tmp_path / "t"))
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="seconds")
    holder = lease.Holder("embed of in", "elsewhere", 7, None, soon, "elsewhere/boot", "1", heartbeat=soon)
    lance.dataset(table.dataset).update_config({"siglane:at-work:x": lease.to_json(holder)})
    process = siglane.start("status", "--table", "t")
    said = process.communicate(timeout=60)[1]
    assert "as its machine's clock is ahead of this one's" in said
    assert "-3" not in said.rpartition("last heartbeat")[2]


def test_watching_stops_at_a_signal_and_the_run_goes_on(siglane: Siglane, tmp_path: Path, undisturbed: Path) -> None:
    shutil.copytree(f"{undisturbed}.lance", tmp_path / "t.lance")
    start_python(AT_WORK, tmp_path / "t")
    wait_for(lambda: status.glance(parse(str(tmp_path / "t"))).runs, "the other process does not take the lease")
    watch = siglane.start("status", "--table", "t", "--watch")
    assert watch.stderr is not None
    assert watch.stderr.readline().startswith("embed of in on ")
    watch.send_signal(signal.SIGINT)
    _, err = watch.communicate()
    assert watch.returncode == 130
    assert err.endswith("\nsiglane status: stopped watching; the run goes on\n")


def test_watching_a_table_on_which_nobody_works_ends_at_once(siglane: Siglane, undisturbed: Path) -> None:
    assert siglane("status", "--table", undisturbed, "--watch")["runs"] == []
    assert "leave out @1" in siglane.fails("status", "--table", f"{undisturbed}@1", "--watch", "3", code=2)
    assert "no table at" in siglane.fails("status", "--table", "absent/t", "--watch", code=1)


def test_a_sample_needs_its_input(siglane: Siglane) -> None:
    assert "give the --input" in siglane.fails("verify", "--table", "t", "--sample", 3, code=2)

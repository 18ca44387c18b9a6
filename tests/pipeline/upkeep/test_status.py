"""Who is at work on a table, alive or dead, and what has been in flight for longest."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import lance
import pytest

from pipeline import table
from pipeline.processes import Life
from pipeline.progress import current
from pipeline.table import TableUri, lease
from pipeline.upkeep.status import RunAtWork, glance, status
from tests.embedding import embed
from tests.pipeline.table.test_commit import committer, some_rows
from tests.processes import Siglane, kill_process_group, start_python, wait_for
from tests.samples import write_photos


@pytest.fixture
def uri(tmp_path: Path) -> TableUri:
    return table.parse(str(tmp_path / "t"))


def test_a_run_at_work_is_alive_and_dead_once_killed(uri: TableUri) -> None:
    committer(uri).commit([table.stage(uri, some_rows(0, 4))])
    code = (
        "import sys, time; from pipeline.table import Lease, parse\n"
        "with Lease(parse(sys.argv[1]), 'embed of in', '01000000') as held:\n    held.keep(); time.sleep(100)"
    )
    process = start_python(code, uri)
    (run,) = wait_for(lambda: status(uri).runs, "the other process does not take the lease")
    assert (run.life, run.holder.pid, run.holder.job) == (Life.ALIVE, process.pid, "01000000")
    assert 0 <= run.heartbeat_age < 30
    kill_process_group(process)
    (run,) = status(uri).runs
    assert (run.life, run.holder.pid) == (Life.DEAD, process.pid)


def test_how_far_a_run_is_can_be_seen_from_its_start_and_is_renewed(
    uri: TableUri, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "HEARTBEAT_SECONDS", 0.1)
    committer(uri).commit([table.stage(uri, some_rows(0, 4))])
    current.begin("embedding", 8)
    with table.Lease(uri, "embed of in") as held:
        held.keep()
        seen = glance(uri)
        (run,) = seen.runs
        assert seen.rows == 4
        assert run.progress is not None
        assert (run.progress.step, run.progress.rows, run.progress.details.total) == ("embedding", 0, 8)
        current.add(2, 1)

        def counted() -> bool:
            (run,) = status(uri).runs
            return run.progress is not None and (run.progress.rows, run.progress.rejected) == (2, 1)

        wait_for(counted, "a heartbeat does not tell of the rows")
    assert glance(uri).runs == ()


def test_a_run_whose_source_does_not_answer_names_it_and_is_dead_once_killed(
    siglane: Siglane, tmp_path: Path, model: Path, uri: TableUri
) -> None:
    write_photos(tmp_path / "in" / "photos", 1)
    (tmp_path / "in" / "a.jsonl").write_text('{"url": "photos/photo0000.jpg", "caption": "a photo"}\n')
    embed(tmp_path / "in", tmp_path / "t", model, input_format="manifest")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        (tmp_path / "in" / "b.jsonl").write_text(f'{{"url": "{address}/x.jpg", "caption": "never comes"}}\n')
        run = ["embed", "--input", "in", "--table", "t", "--model", model, "--local", "--input-format", "manifest"]
        process = siglane.start(*run, "--allow-uri", address)

        def stalled() -> RunAtWork | None:
            assert process.poll() is None
            runs = status(uri).runs
            return runs[0] if runs and runs[0].holder.in_flight else None

        try:
            found = wait_for(stalled, "the run does not say what it has in flight")
        finally:
            kill_process_group(process)
    assert found.holder.in_flight is not None
    assert found.holder.in_flight["source"] == "b.jsonl"
    assert found.holder.in_flight["node"] == found.holder.host == socket.gethostname()
    assert found.in_flight_age is not None
    assert found.in_flight_age >= found.heartbeat_age
    assert (found.life, found.holder.pid) == (Life.ALIVE, process.pid)
    (dead,) = status(uri).runs
    assert (dead.life, dead.holder.pid) == (Life.DEAD, process.pid)


@pytest.mark.parametrize(("age", "life"), [(3, Life.ALIVE), (31, Life.UNKNOWN)])
def test_a_run_elsewhere_is_known_by_the_age_of_its_entry(uri: TableUri, age: int, life: Life) -> None:
    committer(uri).commit([table.stage(uri, some_rows(0, 4))])
    then = (datetime.now(UTC) - timedelta(seconds=age)).isoformat(timespec="seconds")
    holder = lease.Holder("embed of in", "elsewhere", 7, "a-job", then, "elsewhere/boot", "1", heartbeat=then)
    lance.dataset(uri.dataset).update_config({"siglane:at-work:x": lease.to_json(holder)})
    (run,) = status(uri).runs
    assert (run.life, run.holder, run.in_flight_age, run.progress) == (life, holder, None, None)
    assert age <= run.heartbeat_age < age + 10

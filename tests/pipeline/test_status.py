"""Who is at work on a table, alive or dead."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import lance
import pytest

from pipeline import table
from pipeline.status import status
from pipeline.table import Life, TableUri, lease
from tests.pipeline.test_commit import committer, some_rows
from tests.processes import wait_for


@pytest.fixture
def uri(tmp_path: Path) -> TableUri:
    return table.parse(str(tmp_path / "t"))


def test_a_run_at_work_is_alive_and_dead_once_killed(uri: TableUri) -> None:
    committer(uri).commit([table.stage(uri, some_rows(0, 4))])
    code = (
        "import sys, time; from pipeline.table import Lease, parse\n"
        "with Lease(parse(sys.argv[1]), 'embed of in', '01000000') as held:\n    held.keep(); time.sleep(100)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(uri)], stderr=subprocess.DEVNULL)
    try:
        (run,) = wait_for(lambda: status(uri).runs, "the other process does not take the lease")
        assert (run.life, run.holder.pid, run.holder.job) == (Life.ALIVE, process.pid, "01000000")
        assert 0 <= run.heartbeat_age < 30
    finally:
        process.kill()
        process.wait()
    (run,) = status(uri).runs
    assert (run.life, run.holder.pid) == (Life.DEAD, process.pid)


@pytest.mark.parametrize(("age", "life"), [(3, Life.ALIVE), (31, Life.UNKNOWN)])
def test_a_run_elsewhere_is_known_by_the_age_of_its_entry(uri: TableUri, age: int, life: Life) -> None:
    committer(uri).commit([table.stage(uri, some_rows(0, 4))])
    then = (datetime.now(UTC) - timedelta(seconds=age)).isoformat(timespec="seconds")
    holder = lease.Holder("embed of in", "elsewhere", 7, "a-job", then, "elsewhere/boot", "1", heartbeat=then)
    lance.dataset(uri.dataset).update_config({"siglane:at-work:x": lease.to_json(holder)})
    (run,) = status(uri).runs
    assert (run.life, run.holder) == (life, holder)
    assert age <= run.heartbeat_age < age + 10

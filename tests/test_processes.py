"""The tests' own way to run commands: what a test has started ends with it, however it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.processes import ROOT

FAILING = """
    import os, subprocess, sys
    from pathlib import Path
    from tests.processes import no_process_is_left, start

    CHILD = "import time; time.sleep(1000)"
    PARENT = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {CHILD!r}], process_group=0).pid)"

    def test_that_fails():
        process = start(sys.executable, "-u", "-c", PARENT + "; " + CHILD)
        child = int(process.stdout.readline())
        Path("pids").write_text(f"{process.pid} {child}")
        os.kill(process.pid, 0)
        os.kill(child, 0)
        raise AssertionError("as it must")
"""


def test_a_test_that_fails_leaves_no_process_nor_what_that_has_started(tmp_path: Path) -> None:
    (tmp_path / "test_failing.py").write_text(textwrap.dedent(FAILING))
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "test_failing.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "as it must" in run.stdout
    assert "1 failed" in run.stdout
    left = [pid for pid in (tmp_path / "pids").read_text().split() if _runs(pid)]
    assert left == []


def _runs(pid: str) -> bool:
    """Ended ones that nobody has waited for yet do not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False

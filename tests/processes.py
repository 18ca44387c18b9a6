"""Running commands as a user does, each in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


class Siglane:
    """`siglane NAME …`, started in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, *arguments: object, environment: Mapping[str, str | None] | None = None) -> subprocess.Popen[str]:
        variables = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
        return subprocess.Popen(
            [sys.executable, "-m", "jobs.cli", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env={name: value for name, value in variables.items() if value is not None},
            start_new_session=True,
        )

    def __call__(self, *arguments: object, code: int = 0) -> dict[str, Any]:
        """Runs a command to its end, with `--json`; gives its summary."""
        process = self.start(*arguments, "--json")
        out, err = process.communicate(timeout=240)
        assert process.returncode == code, err
        summary: dict[str, Any] = json.loads(out)
        return summary

    def fails(self, *arguments: object, code: int) -> str:
        """Runs a command that must fail; gives the one line that it says."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=240)
        assert process.returncode == code, err
        assert out == ""
        lines = err.strip().splitlines()
        assert len(lines) == 1, err
        return lines[0]


def kill_after_commits(process: subprocess.Popen[str], table: Path, commits: int, and_seconds: float = 0) -> None:
    """SIGKILLs a command once it has made so many commits to a Lance dataset, and a moment later."""
    wait_for_commits(process, table, commits)
    time.sleep(and_seconds)
    kill_process_group(process)


def wait_for_commits(process: subprocess.Popen[str], table: Path, commits: int) -> None:
    """Waits until a running command has made so many commits more."""
    versions = table / "_versions"
    wanted = len(list(versions.glob("*.manifest"))) + commits
    while len(list(versions.glob("*.manifest"))) < wanted:
        assert process.poll() is None, "the command ended before it had committed as often"
        time.sleep(0.005)


def kill_process_group(process: subprocess.Popen[str]) -> None:
    """SIGKILLs a command and whatever it has started in its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()

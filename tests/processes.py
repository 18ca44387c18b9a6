"""Running commands as a user does, each in a process of its own, of which nothing is left when its test ends."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, TypeVar

import pytest

from tests.rows import outcomes_of

T = TypeVar("T")

ROOT = Path(__file__).parents[1]

_started: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """Ends what a test has started, also where it fails: a command, and whatever it has started in its session."""
    yield
    for child in multiprocessing.active_children():
        child.kill()
        child.join()
    while _started:
        process = _started.pop()
        for pid, _ in _of_session(process.pid):  # some may have process groups of their own
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        kill_process_group(process)


def start(
    *command: object,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    output: int | IO[str] = subprocess.PIPE,
    errors: int | IO[str] | None = None,
) -> subprocess.Popen[str]:
    """Starts a command in a session of its own, which ends with the test. `errors`: for stderr; default: `output`."""
    process = subprocess.Popen(
        list(map(str, command)),
        stdout=output,
        stderr=output if errors is None else errors,
        text=True,
        cwd=folder,
        env=environment,
        start_new_session=True,
    )
    _started.append(process)
    return process


def start_python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Starts a program that is given as text, and whose output nobody reads."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return start(sys.executable, "-c", code, *arguments, environment=environment, output=subprocess.DEVNULL)


BEFORE_ROWS = (
    "vectors in ",
    "images are ",
    "planning: ",
    "starting Ray: ",
    "connecting to Ray at ",
    "asking the cluster",
)
"""how the lines begin that a command may say before it has read a row"""


class Siglane:
    """`siglane NAME …`, started in a folder; `before` is looked in for modules first."""

    def __init__(self, folder: Path, before: Path | None = None) -> None:
        self.folder = folder
        self.path = os.pathsep.join(str(place) for place in (before, ROOT) if place)

    def start(self, *arguments: object, environment: Mapping[str, str | None] | None = None) -> subprocess.Popen[str]:
        variables = {**os.environ, "PYTHONPATH": self.path, **(environment or {})}
        given = {name: value for name, value in variables.items() if value is not None}
        return start(sys.executable, "-m", "jobs.cli", *arguments, folder=self.folder, environment=given)

    def __call__(self, *arguments: object, code: int = 0) -> dict[str, Any]:
        """Runs a command to its end, with `--json`; gives its summary, which counts what it has done."""
        given = dict(pairwise(map(str, arguments)))
        table = self.folder / given["--table"] if arguments[0] == "embed" and "://" not in given["--table"] else None
        before = outcomes_of(table) if table else Counter()
        process = self.start(*arguments, "--json")
        out, err = process.communicate(timeout=240)
        assert process.returncode == code, err
        summary: dict[str, Any] = json.loads(out)
        if table and not {"--replace-changed", "--retry-rejected", "--dry-run"} & set(map(str, arguments)):
            rejects = {("rejected", reason): count for reason, count in summary["rejected_by_reason"].items()}
            landed = Counter({("success", None): summary["success"], **rejects})
            assert before + landed == outcomes_of(table), f"other rows have come in than it says: {summary}"
            assert summary["read"] == landed.total()
        return summary

    def fails(self, *arguments: object, code: int) -> str:
        """Runs a command that must fail; gives the one line that it says, but for how far it was."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=240)
        assert process.returncode == code, err
        assert out == ""
        lines = [line for line in err.strip().splitlines() if not line.startswith(BEFORE_ROWS)]
        assert len(lines) == 1, err
        return lines[0]


def kill_after_rows(process: subprocess.Popen[str], table: Path) -> None:
    """SIGKILLs a command once it has brought rows into a Lance dataset."""
    wait_for_rows(process, table)
    kill_process_group(process)


def wait_for_rows(process: subprocess.Popen[str], table: Path) -> None:
    """Waits until a running command has brought more rows into a Lance dataset."""
    import lance  # noqa: F401 - now, as this takes a second, in which a small run would end

    before = _rows(table)
    while _rows(table) <= before:
        assert process.poll() is None, "the command ended before it had brought in more rows"
        time.sleep(0.005)


def _rows(table: Path) -> int:
    """None before the first manifest is there: its folder is there earlier."""
    import lance

    return lance.dataset(str(table)).count_rows() if any((table / "_versions").glob("*.manifest")) else 0


def wait_for(condition: Callable[[], T], complaint: str, seconds: float = 60) -> T:
    """Waits until the condition holds; gives what it gave."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, complaint
        time.sleep(0.02)
    return found


def processes_of_session(leader: int) -> list[str]:
    """Command lines of the processes that were started in this process's session and still run."""
    return [command for _, command in _of_session(leader)]


def pids_of_session(leader: int, text: str) -> list[int]:
    """The processes of this process's session whose command line holds a text."""
    return [pid for pid, command in _of_session(leader) if text in command]


def children_of(parent: int, text: str) -> list[int]:
    """The processes that this one has started and whose command line holds a text."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                is_child = int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent
                if is_child and text.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found


def _of_session(leader: int) -> Iterator[tuple[int, str]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.getsid(int(entry.name)) == leader:
                    yield int(entry.name), (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (ProcessLookupError, FileNotFoundError):
                continue


def wait_until_it_listens(process: subprocess.Popen[str]) -> None:
    """Waits until a command has handlers of its own for SIGINT and SIGTERM: before, it has done nothing."""

    def listens() -> bool:
        assert process.poll() is None, "the command ended before it could be stopped"
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = int(next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")), 16)
        return bool(caught >> (signal.SIGTERM - 1) & 1)

    wait_for(listens, "the command does not get to its start")


def kill_process_group(process: subprocess.Popen[str]) -> None:
    """SIGKILLs a command and whatever it has started in its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(ValueError):  # its output was read to the end, and closed, before
        process.communicate()

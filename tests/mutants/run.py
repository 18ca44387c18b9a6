"""Puts faults into the code, one at a time, and says which of them the tests notice: `make mutants`.

A mutant is data, in the .toml files beside this one. Each is put into a copy of the tree, and its own test files are
run; what they do not notice is run against all of `make test`. A file's `rate` is the share that must be noticed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from queue import SimpleQueue

TREE = Path(__file__).parents[2]
LISTS = sorted(Path(__file__).parent.glob("*.toml"))
OTHER_SUITES = ("on_ray", "shared_data", "faults", "interleavings", "services")
"""left out, as by the Makefile's `test`"""
SECONDS = 300.0
"""for the test files of one mutant; what takes longer hangs, which is noticed"""
SECONDS_OF_THE_REST = 1800.0
SECONDS_OF_A_TEST = 120
MARK = "SIGLANE_MUTANTS"
"""a variable of the environment: whatever the tests start inherits it"""

_times = count(1_000_000_000)


@dataclass(frozen=True)
class Mutant:
    fault: str
    """what is wrong with it, for people"""
    file: str
    old: str
    """stands exactly once in the file"""
    new: str
    tests: tuple[str, ...]
    """the files that should notice it"""

    @property
    def room(self) -> str:
        parts = Path(self.file).parts
        return "/".join(parts[:2]) if parts[0] == "pipeline" and len(parts) > 2 else parts[0]


@dataclass(frozen=True)
class MutantList:
    name: str
    rate: float
    """the share of its mutants that must be noticed"""
    mutants: tuple[Mutant, ...]


class Copy:
    """A copy of the tree, in which one mutant lives at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        for name in subprocess.run(listed, cwd=TREE, check=True, capture_output=True, text=True).stdout.splitlines():
            if (TREE / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(TREE / name, folder / name)

    @contextlib.contextmanager
    def holding(self, mutant: Mutant) -> Iterator[None]:
        file = self.folder / mutant.file
        whole = file.read_text("utf-8")
        self._write(file, whole.replace(mutant.old, mutant.new))
        try:
            yield
        finally:
            self._write(file, whole)

    @staticmethod
    def _write(file: Path, text: str) -> None:
        file.write_text(text, "utf-8")
        time = next(_times)  # another one each time: Python knows compiled files by it
        os.utime(file, (time, time))

    def notices(self, tests: Sequence[str], seconds: float) -> bool:
        """Whether these tests fail, or do not end.

        Raises:
            RuntimeError: pytest could not run them.
        """
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        environment = {**os.environ, "PYTHONPATH": str(self.folder), MARK: str(self.folder)}
        with tempfile.TemporaryFile("w+") as output:
            process = subprocess.Popen(
                [*command, f"--timeout={SECONDS_OF_A_TEST}", *tests],
                cwd=self.folder,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                code = process.wait(seconds)
            except subprocess.TimeoutExpired:
                return True
            finally:
                end_all(self.folder)
                process.wait()
            if code not in (0, 1, 2):  # all passed, some failed, a module did not even load
                output.seek(0)
                raise RuntimeError(f"pytest ended with code {code}: {output.read()[-2000:]}")
            return code != 0


def end_all(folder: Path) -> None:
    """Ends the tests of a copy, or of all in a folder of copies, and whatever they have started and left."""
    mine = (f"{MARK}={folder}".encode(), f"{MARK}={folder}/".encode())
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            variables = (entry / "environ").read_bytes().split(b"\0") if entry.name.isdigit() else []
            if any(variable == mine[0] or variable.startswith(mine[1]) for variable in variables):
                os.kill(int(entry.name), signal.SIGKILL)


def read_list(file: Path) -> MutantList:
    """
    Raises:
        ValueError: a mutant does not fit the tree.
    """
    read = tomllib.loads(file.read_text("utf-8"))
    mutants = tuple(Mutant(**{**entry, "tests": tuple(entry["tests"])}) for entry in read["mutant"])
    for mutant in mutants:
        found = (TREE / mutant.file).read_text("utf-8").count(mutant.old)
        if found != 1:
            raise ValueError(f"{file.name}: {mutant.file} has {mutant.old!r} {found} times; correct the entry")
        if missing := [test for test in mutant.tests if not (TREE / test).exists()]:
            raise ValueError(f"{file.name}: {mutant.fault}: there is no {missing[0]}; correct the entry")
    return MutantList(file.stem, read["rate"], mutants)


def all_tests() -> list[str]:
    """Those of `make test`."""
    return ["tests", *(f"--ignore=tests/{suite}" for suite in OTHER_SUITES)]


def unnoticed(mutants: Sequence[Mutant], folder: Path, jobs: int, with_rest: bool) -> list[Mutant]:
    """Those that the tests do not notice; `folder` is for the copies of the tree, so many as there are `jobs`."""
    copies = SimpleQueue[Copy]()
    for number in range(jobs):
        copies.put(Copy(folder / str(number)))

    def is_noticed(mutant: Mutant) -> bool:
        copy = copies.get()
        try:
            with copy.holding(mutant):
                noticed = copy.notices(mutant.tests, SECONDS)
                if not noticed and with_rest:
                    noticed = copy.notices(all_tests(), SECONDS_OF_THE_REST)
        finally:
            copies.put(copy)
        print(f"{'noticed ' if noticed else 'SURVIVED'}  {mutant.file}: {mutant.fault}", flush=True)
        return noticed

    with ThreadPoolExecutor(jobs) as pool:
        try:
            found = list(pool.map(is_noticed, mutants))
        except BaseException:  # Ctrl-C above all: nothing goes on
            pool.shutdown(wait=False, cancel_futures=True)
            end_all(folder)
            raise
    return [mutant for mutant, noticed in zip(mutants, found, strict=True) if not noticed]


def report(listed: MutantList, left: Sequence[Mutant]) -> bool:
    """Prints what came out by room; whether enough was noticed."""
    rooms: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for mutant in listed.mutants:
        rooms[mutant.room][mutant in left] += 1
    for room, (noticed, survived) in sorted(rooms.items()):
        print(f"  {room}: {noticed} noticed, {survived} survived")
    rate = 1 - len(left) / len(listed.mutants)
    print(f"{listed.name}: {rate:.1%} of {len(listed.mutants)} noticed; {listed.rate:.0%} are asked for")
    for mutant in left:
        print(f"  survived: {mutant.file}: {mutant.fault}")
    return rate >= listed.rate


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="mutants whose file or fault holds this text")
    parser.add_argument("--jobs", type=int, default=2, help="how many are tried at one time")
    parser.add_argument("--without-rest", action="store_true", help="do not run all tests on what survives its own")
    options = parser.parse_args()
    lists = [read_list(file) for file in LISTS]
    lists = [
        replace(listed, mutants=tuple(m for m in listed.mutants if options.only in m.file or options.only in m.fault))
        for listed in lists
    ]
    with tempfile.TemporaryDirectory(prefix="siglane-mutants-") as place:
        used = sorted({test for listed in lists for mutant in listed.mutants for test in mutant.tests})
        if used and Copy(Path(place, "sound")).notices([f"-n{options.jobs}", *used], SECONDS_OF_THE_REST):
            print("these tests fail without any mutant, or take too long: " + " ".join(used))
            return 1
        results = [
            report(listed, unnoticed(listed.mutants, Path(place, listed.name), options.jobs, not options.without_rest))
            for listed in lists
            if listed.mutants
        ]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Some actors that work on one table at once, and running them by a schedule."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import SiglaneError
from pipeline.table import compact, parse
from tests.interleavings import points, world
from tests.interleavings.actors import ACTORS, Actor
from tests.interleavings.checks import Rows, check_actors, check_table, may_end_so, read_rows
from tests.interleavings.scheduler import Choice, HangError, Process, Scheduler, Step

LETTERS = "ABC"
AGAIN = 4
"""times that a command which failed is run again, when nobody else is at work"""


@dataclass(frozen=True)
class Scenario:
    """`actors`, by their names; the first is A, the second B."""

    actors: tuple[str, ...]
    beginning: str = "table"
    faults: str = ""
    """what may happen to them: `!` kills, `?` lost answers, `-` calls that are not sent, `^` Ctrl-C; at most one
    each schedule"""
    heartbeats: bool = False
    """whether the threads that renew leases are given steps in between, too"""
    apart: bool = False
    """whether each is on a machine of its own"""
    store: bool = False
    """whether the table lies where it is reached as an object store is"""

    @property
    def name(self) -> str:
        marks = [self.beginning] * (self.beginning != "table") + [self.faults] * bool(self.faults)
        marks += ["heartbeats"] * self.heartbeats + ["apart"] * self.apart + ["store"] * self.store
        return "+".join(self.actors) + "".join(f"/{mark}" for mark in marks)

    @classmethod
    def named(cls, name: str) -> Scenario:
        actors, *marks = name.split("/")
        beginning = next((mark for mark in marks if mark in world.BEGINNINGS), "table")
        faults = next((mark for mark in marks if set(mark) <= set("!?^-")), "")
        flags = {flag: flag in marks for flag in ("heartbeats", "apart", "store")}
        return cls(tuple(actors.split("+")), beginning, faults, **flags)


@dataclass(frozen=True)
class Outcome:
    """What came of a schedule."""

    trace: Sequence[Step]
    faults: Sequence[str] = ()
    """what is wrong, in words"""

    @property
    def choices(self) -> list[Choice]:
        return [step.choice for step in self.trace]


Choose = Callable[[Scheduler], Choice]


def by_default(scheduler: Scheduler) -> Choice:
    return Choice(scheduler.default().name)


class Room:
    """A folder in which a scenario is run again and again, each time from a copy of the same table."""

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        self.scenario = scenario
        self._template = parse(str(folder / "template" / "t"))
        self._uri = parse(f"{points.STORE if scenario.store else ''}{folder / 'run' / 't'}")
        self._folder = folder
        make = world.BEGINNINGS[scenario.beginning]
        (made,) = _run_alone("A", lambda _: make(self._template))
        assert made.error is None, made.error
        self.before = read_rows(self._template)
        self._serial: list[Rows] = []
        self._refused: set[tuple[str, type]] = set()
        """who ends in which error of ours, if the actors run one after another in some order"""
        for order in permutations(range(len(scenario.actors))):
            processes, rows = self._run_in_turn(order)
            for process in processes:
                if process.error is not None:
                    assert isinstance(process.error, SiglaneError), f"{scenario.name}, in turn: {process.error!r}"
                    self._refused.add((process.letter, type(process.error)))
            self._serial.append(rows)

    def run(self, choose: Choose) -> Outcome:
        """One schedule; then whoever failed or was killed is run again, alone; then the table is looked at."""
        self._copy()
        scheduler = Scheduler(choose, runs_again="!" in self.scenario.faults)
        actors = {letter: ACTORS[name] for letter, name in zip(LETTERS, self.scenario.actors, strict=False)}
        try:
            for letter, actor in actors.items():
                scheduler.start(letter, self._command(actor))
            scheduler.run()
        except HangError as error:
            return Outcome(scheduler.trace, [f"hang: {error}"])
        trace = list(scheduler.trace)
        first = list(scheduler.processes)
        faults = check_actors(scheduler, actors, self._uri)
        faults += self._run_again(first, actors)
        return Outcome(trace, faults + check_table(self._uri, self.before, self._serial))

    def _run_again(self, processes: Sequence[Process], actors: dict[str, Actor]) -> list[str]:
        last = {process.letter: process for process in processes}
        faults = []
        for letter, process in last.items():
            tries = 0
            while process.is_dead or (process.error and (letter, type(process.error)) not in self._refused):
                tries += 1
                if tries > AGAIN or not may_end_so(process.error, actors[letter]):
                    faults.append(f"{letter} ({actors[letter].name}) does not come to its end: {process.error!r}")
                    break
                (process,) = _run_alone(letter, self._command(actors[letter]))
        return faults

    def _run_in_turn(self, order: Sequence[int]) -> tuple[list[Process], Rows]:
        self._copy()
        processes = []
        for number in order:
            processes += _run_alone(LETTERS[number], self._command(ACTORS[self.scenario.actors[number]]))
        return processes, read_rows(self._uri)

    def _command(self, actor: Actor) -> Callable[[Process], Any]:
        return lambda process: actor.command(self._uri, process)

    def _copy(self) -> None:
        shutil.rmtree(self._folder / "run", ignore_errors=True)
        shutil.copytree(self._folder / "template", self._folder / "run")


def _run_alone(letter: str, command: Callable[[Process], Any]) -> list[Process]:
    scheduler = Scheduler(by_default)
    scheduler.start(letter, command)
    scheduler.run()
    return scheduler.processes


@contextmanager
def room_of(scenario: Scenario) -> Iterator[Room]:
    """A room in memory, where there is such a folder."""
    memory = Path("/dev/shm")
    logging.disable(logging.WARNING)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="siglane-", dir=memory if memory.is_dir() else None) as folder,
            points.points(),
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setattr(compact, "ROWS_PER_FRAGMENT", world.FULL)
            patch.setattr(points, "APART", scenario.apart)
            yield Room(scenario, Path(folder))
    finally:
        logging.disable(logging.NOTSET)

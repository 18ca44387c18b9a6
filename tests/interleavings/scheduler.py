"""Threads of which one runs at a time: a schedule says which one takes the next step.

A process of the table is simulated by a thread, and its lease by a further one. A step is what a thread does from one
scheduling point to the next: a single call that reads or writes a version, a file or a clock (`points`), and the Python
code behind it. Before each step every thread stands at its next call, so nothing depends on how the operating system
divides the time. The clock is simulated too: it moves on when a thread that sleeps is given a step.
"""

from __future__ import annotations

import faulthandler
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

SECONDS_PER_STEP = 60.0
"""A step that takes longer hangs: the schedule is given up."""
MAX_STEPS = 5_000

LOST_ANSWER = "error sending request: the answer was lost (by the explorer)"
NOT_SENT = "error sending request: it was not sent (by the explorer)"


class Kind(Enum):
    """What a call does that other threads could notice, or be noticed by."""

    LOOK = "reads which version is the newest"
    COMMIT = "makes a version"
    READ = "reads a version or a file that does not change any more"
    WRITE = "writes files that no version refers to yet"
    LIST = "lists files or versions"
    REMOVE = "removes versions or files"
    SLEEP = "lets time pass"
    CLOCK = "reads the clock"
    NOTHING = "nothing that others could notice"


_PAIRS = [
    (Kind.COMMIT, (Kind.LOOK, Kind.COMMIT, Kind.LIST, Kind.REMOVE)),
    (Kind.REMOVE, (Kind.READ, Kind.WRITE, Kind.LIST, Kind.REMOVE)),
    (Kind.LIST, (Kind.WRITE,)),
    (Kind.SLEEP, (Kind.CLOCK, Kind.SLEEP)),
]
CONFLICTS = frozenset(frozenset((one, other)) for one, others in _PAIRS for other in others)
"""Pairs of kinds whose order matters. Of any other two calls, both orders come to the same."""


def conflict(one: Kind, other: Kind) -> bool:
    return frozenset((one, other)) in CONFLICTS


EFFECTS = frozenset([Kind.COMMIT, Kind.WRITE, Kind.REMOVE])


class Killed(BaseException):
    """Raised in every thread of a process that has been killed, at each of its points: it has no effect any more."""


class HangError(AssertionError):
    """A thread did not come to its next point, or no thread can take a step."""


class Choice(NamedTuple):
    """Which thread takes the next step, and how."""

    thread: str
    """A, B, …: the main threads; a, b, …: those that renew their leases"""
    how: str = ""
    """`!`: its process is killed instead; `?`: the answer to its call is lost; `-`: its call is not sent; `^`: it is
    interrupted when the call is done, as by Ctrl-C"""


@dataclass
class Call:
    """What a thread stands at."""

    kind: Kind
    label: str
    is_ready: Callable[[], bool] = lambda: True
    wake: float = 0.0
    """when it is over, for a sleep"""
    gives_way: bool = False
    """whether others go on here, unless the schedule says otherwise"""
    waits_for: Thread | None = None


@dataclass
class Process:
    """What is killed at once."""

    letter: str
    number: int
    """1, and 2 when the same command is run again"""
    is_dead: bool = False
    has_ended: bool = False
    threads: list[Thread] = field(default_factory=list)
    result: Any = None
    error: BaseException | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    """what it has reported before it ended"""


class Thread:
    def __init__(self, scheduler: Scheduler, name: str, process: Process, call: Callable[[], Any]) -> None:
        self.scheduler, self.name, self.process, self.call = scheduler, name, process, call
        self.pending = Call(Kind.NOTHING, "start")
        self.is_finished = False
        self.is_inside = False
        """a call of Lance's, which may make others that are no points"""
        self.how = ""
        self.go = threading.Semaphore(0)
        self.thread = threading.Thread(target=self._run, daemon=True, name=f"actor {name}")
        self.thread.start()

    @property
    def is_background(self) -> bool:
        return self.name.islower()

    @property
    def is_ready(self) -> bool:
        return not self.is_finished and self.pending.is_ready()

    def _run(self) -> None:
        _local.thread = self
        self.go.acquire()
        try:
            if not self.process.is_dead:
                result = self.call()
                if not self.is_background:
                    self.process.result, self.process.has_ended = result, True
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 (the checks judge it)
            if not self.process.is_dead:
                self.process.error = self.process.error or error
        self.is_finished = True
        if not self.is_background:
            self.process.has_ended = True
        self.scheduler.turn.release()

    def wait_for_turn(self, call: Call) -> None:
        if self.process.is_dead:
            raise Killed
        self.pending = call
        self.scheduler.turn.release()
        self.go.acquire()
        if self.process.is_dead:
            raise Killed
        self.scheduler.now = max(self.scheduler.now, call.wake)


class _Local(threading.local):
    thread: Thread | None = None


_local = _Local()


def acting() -> Thread | None:
    """The thread of a schedule that this is called in; None outside of one."""
    return _local.thread


def current() -> Thread | None:
    """The same, but None within a call of Lance's too."""
    thread = _local.thread
    return None if thread is None or thread.is_inside else thread


@dataclass(frozen=True)
class Step:
    """What has happened, and what else could have."""

    choice: Choice
    call: Call
    """that the chosen thread stood at"""
    last: str | None
    """the thread that took the step before"""
    last_call: Call | None
    """that it stands at now; None where it has finished"""
    last_did: Kind | None
    """by its last step"""
    others: tuple[str, ...]
    """further threads that were ready"""
    can_go_on: bool
    """whether the thread of the step before would have gone on: a switch away from it is a preemption"""


@dataclass(frozen=True)
class LeaseWrite:
    """A lease's entry was changed."""

    time: float
    process: Process
    key: str
    holder: str | None
    """id of the one that it names from then on"""
    over: frozenset[tuple[str, int]]
    """processes, by letter and number, that were dead or had ended by then"""


class Scheduler:
    """One run of some processes, by the choices that `choose` makes."""

    def __init__(self, choose: Callable[[Scheduler], Choice], runs_again: bool = False) -> None:
        self.turn = threading.Semaphore(0)
        self.now = 0.0
        """seconds by which the simulated clock is ahead of the machine's"""
        self.started = time.time()
        self.trace: list[Step] = []
        self.threads: list[Thread] = []
        self.processes: list[Process] = []
        self.leases: list[LeaseWrite] = []
        self._choose = choose
        self._runs_again = runs_again
        self._commands: dict[str, Callable[[Process], Any]] = {}
        self._last: Thread | None = None
        self._last_did: Kind | None = None
        self._preempted: Thread | None = None

    def start(self, letter: str, command: Callable[[Process], Any]) -> Process:
        """Starts a process, up to its first point."""
        self._commands[letter] = command
        number = 1 + sum(process.letter == letter for process in self.processes)
        process = Process(letter, number)
        self.processes.append(process)
        self._add(letter, process, lambda: command(process))
        return process

    def start_beside(self, parent: Thread, call: Callable[[], Any]) -> Thread:
        """Starts a thread in the process of another, which waits at its very first point."""
        return self._add(parent.name.lower(), parent.process, call, first_point=False)

    def _add(self, name: str, process: Process, call: Callable[[], Any], first_point: bool = True) -> Thread:
        thread = Thread(self, name, process, call)
        self.threads.append(thread)
        process.threads.append(thread)
        if first_point:
            self._let_go(thread)
        else:
            thread.pending = Call(Kind.NOTHING, "start", gives_way=True)
        return thread

    def ready(self) -> list[Thread]:
        return [thread for thread in self.threads if thread.is_ready]

    def run(self) -> None:
        """Takes steps until every process has ended.

        Raises:
            HangError: one does not come to its next point, or all wait for each other.
        """
        while any(not thread.is_finished for thread in self.threads):
            ready = self.ready()
            if not ready or len(self.trace) > MAX_STEPS:
                waiting = [f"{t.name} at {t.pending.label}" for t in self.threads if not t.is_finished]
                raise HangError(f"after {len(self.trace)} steps: {', '.join(waiting)}")
            choice = self._choose(self)
            self._note(choice, ready)
            self.take(choice)

    def default(self) -> Thread:
        """Who goes on where the schedule says nothing: the same thread, up to its end."""
        ready = self.ready()
        last = self._last
        if last is not None and last.is_ready and not last.pending.gives_way:
            return last
        if last is not None and not last.is_finished:
            other = last.pending.waits_for
            if other is not None and other.is_ready:
                return other
        if last is not None and last.is_background and self._preempted in ready:
            return self._preempted
        main = [thread for thread in ready if not thread.is_background]
        return main[0] if main else ready[0]

    def take(self, choice: Choice) -> None:
        thread = self.thread(choice.thread)
        if not thread.is_background:
            self._preempted = thread
        if choice.how == "!":
            self.kill(thread.process)
            self._last, self._last_did = None, None
            return
        thread.how = choice.how
        self._last, self._last_did = thread, thread.pending.kind
        self._let_go(thread)

    def kill(self, process: Process) -> None:
        process.is_dead = True
        for thread in list(process.threads):
            if not thread.is_finished:
                self._let_go(thread)
        if self._runs_again:
            self.start(process.letter, self._commands[process.letter])

    def thread(self, name: str) -> Thread:
        """The living thread of that name."""
        return next(thread for thread in reversed(self.threads) if thread.name == name and not thread.is_finished)

    def _let_go(self, thread: Thread) -> None:
        thread.go.release()
        if not self.turn.acquire(timeout=SECONDS_PER_STEP):
            faulthandler.dump_traceback(file=sys.__stderr__)
            raise HangError(f"{thread.name} does not come back from {thread.pending.label}")

    def _note(self, choice: Choice, ready: Sequence[Thread]) -> None:
        last = self._last
        can_go_on = last is not None and last.is_ready and not last.pending.gives_way
        standing = None if last is None or last.is_finished else last.pending
        others = tuple(thread.name for thread in ready if thread.name != choice.thread)
        call = self.thread(choice.thread).pending
        name = None if last is None else last.name
        self.trace.append(Step(choice, call, name, standing, self._last_did, others, can_go_on))

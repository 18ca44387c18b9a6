"""Goes through the interleavings of a scenario: all up to a number of preemptions, then random ones, shrunk on a fault.

After Musuvathi and Qadeer, "Iterative context bounding for systematic testing of multithreaded programs" (2007): most
faults of this kind need few preemptions, so schedules with fewer come first. A switch is tried only where it can
matter: before a call whose order with a call of the other thread does (`scheduler.CONFLICTS`).
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.interleavings.scenario import Choose, Outcome, Room
from tests.interleavings.schedule import Parts, parts_of, replay, to_text
from tests.interleavings.scheduler import EFFECTS, Choice, Kind, Scheduler, Step, conflict

SWITCHES_IN_RANDOM = 0.15
FAULTS_IN_RANDOM = 0.02
SHRINKING_RUNS = 400


@dataclass
class Explored:
    scenario: str
    schedules: int = 0
    random: int = 0
    """of them, beyond the bound"""
    is_complete: bool = False
    """whether all up to the bound were gone through"""
    seconds: float = 0.0
    steps: int = 0
    """of the longest"""
    failing: list[tuple[Parts, Sequence[str]]] = field(default_factory=list)
    """schedules, and what is wrong after them"""


def explore(
    room: Room, preemptions: int = 2, most: int | None = None, random_ones: int = 0, seed: int = 0, stop: bool = True
) -> Explored:
    """Runs schedules until one fails, or all up to the bound and `random_ones` are done.

    Args:
        preemptions: the bound; a kill, a lost answer count as one.
        most: of the schedules up to the bound; where there are more, a random choice among those of most preemptions.
        stop: at the first that fails.
    """
    found = Explored(room.scenario.name)
    started = time.monotonic()

    def run(choose: Choose) -> Outcome:
        outcome = room.run(choose)
        found.schedules += 1
        found.steps = max(found.steps, len(outcome.trace))
        if outcome.faults:
            found.failing.append((parts_of(outcome.choices), outcome.faults))
        return outcome

    search = _Search(room, preemptions, random.Random(seed))
    while search.waiting and not (found.failing and stop) and (most is None or found.schedules < most):
        prefix = search.next()
        search.branch(run(replay(parts_of(prefix))), len(prefix))
    found.is_complete = not search.waiting
    for number in range(random_ones):
        if found.failing and stop:
            break
        found.random += 1
        run(_randomly(room, random.Random(f"{seed} {number}")))
    found.seconds = time.monotonic() - started
    return found


class _Search:
    """The schedules up to the bound that are still to be run: as the choices they begin with."""

    def __init__(self, room: Room, preemptions: int, generator: random.Random) -> None:
        self._scenario, self._preemptions, self._random = room.scenario, preemptions, generator
        self._levels: defaultdict[int, list[list[Choice]]] = defaultdict(list, {0: [[]]})
        self._kinds: defaultdict[str, set[Kind]] = defaultdict(set)
        """what each thread was seen to do"""

    @property
    def waiting(self) -> bool:
        return any(self._levels.values())

    def next(self) -> list[Choice]:
        """One of the fewest preemptions, at random among those."""
        level = min(number for number, prefixes in self._levels.items() if prefixes)
        prefixes = self._levels[level]
        at = self._random.randrange(len(prefixes))
        prefixes[at], prefixes[-1] = prefixes[-1], prefixes[at]
        return prefixes.pop()

    def branch(self, outcome: Outcome, since: int) -> None:
        """Adds what could have been chosen otherwise, from that step on."""
        trace = outcome.trace
        for step in trace:
            self._kinds[step.choice.thread].add(step.call.kind)
        cost, choices = 0, outcome.choices
        for number, step in enumerate(trace):
            if number >= since:
                for other in self._others(step, [choice for choice in choices[:number] if choice.how]):
                    total = cost + _cost(step, other)
                    if total <= self._preemptions:
                        self._levels[total].append([*choices[:number], other])
            cost += _cost(step, step.choice)

    def _others(self, step: Step, faults: Sequence[Choice]) -> Iterator[Choice]:
        for thread in step.others:
            if thread.islower() and not self._scenario.heartbeats:
                continue
            if not step.can_go_on or self._matters(step):
                yield Choice(thread)
        if step.choice.how or faults:
            return
        for how in self._scenario.faults:
            if how == "!" and step.last == step.choice.thread and step.last_did in EFFECTS:
                yield Choice(step.choice.thread, how)
            if (how in "?-" and step.call.kind is Kind.COMMIT) or (how == "^" and step.call.kind in EFFECTS):
                yield Choice(step.choice.thread, how)

    def _matters(self, step: Step) -> bool:
        """Whether a further thread, this one or one that goes on after it, does what the call would notice."""
        assert step.last_call is not None
        others = {name for name in [*step.others, step.choice.thread] if name != step.last}
        known = {kind for name in others for kind in self._kinds[name] or Kind}
        return any(conflict(step.last_call.kind, kind) for kind in known)


def _cost(step: Step, choice: Choice) -> int:
    switches = step.can_go_on and choice.thread != step.last
    return int(switches) + bool(choice.how)


def _randomly(room: Room, generator: random.Random) -> Choose:
    has_failed = False

    def choose(scheduler: Scheduler) -> Choice:
        nonlocal has_failed
        ready = [t for t in scheduler.ready() if room.scenario.heartbeats or not t.is_background]
        default = scheduler.default()
        thread = generator.choice(ready) if ready and generator.random() < SWITCHES_IN_RANDOM else default
        hows = [
            h
            for h in room.scenario.faults
            if h == "!" or (thread.pending.kind is Kind.COMMIT and not thread.is_background)
        ]
        if hows and not has_failed and generator.random() < FAULTS_IN_RANDOM * (1 + 9 * (hows != ["!"])):
            has_failed = True
            return Choice(thread.name, generator.choice(hows))
        return Choice(thread.name)

    return choose


def shrink(room: Room, parts: Parts, faults: Sequence[str]) -> tuple[Parts, Sequence[str]]:
    """A shorter schedule that fails in the same way."""
    kinds = {_kind(fault) for fault in faults}
    runs = 0

    def fails(candidate: Parts) -> Sequence[str]:
        nonlocal runs
        runs += 1
        outcome = room.run(replay(candidate))
        return outcome.faults if kinds & {_kind(fault) for fault in outcome.faults} else ()

    best, best_faults = parts, faults
    is_better = True
    while is_better and runs < SHRINKING_RUNS:
        is_better = False
        for candidate in _shorter(best):
            if runs >= SHRINKING_RUNS:
                break
            if found := fails(candidate):
                best, best_faults, is_better = candidate, found, True
                break
    return best, best_faults


def _kind(fault: str) -> str:
    return fault.partition(":")[0].partition(" of ")[0]


def _shorter(parts: Parts) -> Iterator[Parts]:
    for at in range(len(parts) - 1, -1, -1):
        yield _joined([*parts[:at], *parts[at + 1 :]])
    for at, (choice, count) in enumerate(parts):
        for less in sorted({1, count // 2, count - 1} - {0, count}):
            yield _joined([*parts[:at], (choice, less), *parts[at + 1 :]])


def _joined(parts: Sequence[tuple[Choice, int]]) -> Parts:
    joined: list[tuple[Choice, int]] = []
    for choice, count in parts:
        if joined and joined[-1][0] == choice:
            joined[-1] = (choice, joined[-1][1] + count)
        else:
            joined.append((choice, count))
    return tuple(joined)


def told(room: Room, parts: Parts, faults: Sequence[str]) -> str:
    """What is wrong after a schedule, and how to see it again."""
    command = f"SCHEDULE={to_text(parts)!r} python -m tests.interleavings.replay '{room.scenario.name}'"
    return "\n".join([*faults, command])

"""The explorer itself: schedules are replayed as they were, and shrunk to what matters."""

from __future__ import annotations

from itertools import combinations
from math import comb

import pytest

from tests.interleavings.explorer import explore, shrink
from tests.interleavings.scenario import Choose, Outcome, Scenario, by_default, room_of
from tests.interleavings.schedule import from_text, parts_of, replay, to_text
from tests.interleavings.scheduler import Call, Choice, HangError, Kind, Process, Scheduler, current


def test_a_schedule_is_what_its_text_says() -> None:
    text = "A3,B1,a2,A!,B?,B-"
    assert to_text(from_text(text)) == text
    assert from_text("A2,B?") == ((Choice("A"), 2), (Choice("B", "?"), 1))
    with pytest.raises(ValueError, match="'C4x'"):
        from_text("A1,C4x")


def test_a_schedule_is_replayed_step_by_step() -> None:
    with room_of(Scenario.named("embed+score")) as room:
        first = room.run(replay(from_text("A5,B7,A2")))
        again = room.run(replay(parts_of(first.choices)))
    assert "".join(choice.thread for choice in first.choices).startswith("AAAAABBBBBBBAA")
    assert [(step.choice, step.call.label) for step in again.trace] == [
        (step.choice, step.call.label) for step in first.trace
    ]


class Counters:
    """Two processes that look at a counter and write it, so many times each: a lost update is what may come of it."""

    scenario = Scenario(("embed", "embed"))

    def __init__(self, times: int) -> None:
        self.times = times
        self.seen: set[tuple[int, ...]] = set()
        """what the processes had looked at, and what came out"""

    def run(self, choose: Choose) -> Outcome:
        counter, looked = 0, {"A": [], "B": []}

        def add(process: Process) -> None:
            nonlocal counter
            thread = current()
            assert thread is not None
            for _ in range(self.times):
                thread.wait_for_turn(Call(Kind.READ, "what nobody changes"))
                thread.wait_for_turn(Call(Kind.LOOK, "look"))
                seen = counter
                looked[process.letter].append(seen)
                thread.wait_for_turn(Call(Kind.COMMIT, "commit"))
                counter = seen + 1

        scheduler = Scheduler(choose)
        for letter in "AB":
            scheduler.start(letter, add)
        scheduler.run()
        self.seen.add((*looked["A"], *looked["B"], counter))
        return Outcome(scheduler.trace, [] if counter == 2 * self.times else [f"lost: {2 * self.times - counter}"])


def test_orders_that_are_left_out_come_to_nothing_else() -> None:
    explored, everything = Counters(2), Counters(2)
    found = explore(explored, preemptions=9, stop=False)
    assert found.is_complete
    steps = 6  # of each
    for of_a in combinations(range(2 * steps), steps):
        order = [Choice("A" if step in of_a else "B") for step in range(2 * steps)]
        everything.run(replay(parts_of(order)))
    assert explored.seen == everything.seen
    assert found.schedules < comb(2 * steps, steps)


def test_a_lost_update_is_found_and_shrunk() -> None:
    room = Counters(3)
    found = explore(room, preemptions=1)
    assert found.failing
    parts, faults = shrink(room, *found.failing[0])
    assert len(parts) <= 2
    assert room.run(replay(parts)).faults == faults != []


def test_processes_that_wait_for_each_other_are_a_fault_and_no_hang() -> None:
    def wait(process: Process) -> None:
        thread = current()
        assert thread is not None
        thread.wait_for_turn(Call(Kind.NOTHING, "wait for ever", is_ready=lambda: False))

    scheduler = Scheduler(by_default)
    scheduler.start("A", wait)
    with pytest.raises(HangError, match="A at wait for ever"):
        scheduler.run()


def test_a_killed_process_changes_nothing_any_more() -> None:
    done = []

    def write(process: Process) -> None:
        thread = current()
        assert thread is not None
        try:
            thread.wait_for_turn(Call(Kind.WRITE, "first"))
            done.append("first")
            thread.wait_for_turn(Call(Kind.WRITE, "second"))
        finally:
            thread.wait_for_turn(Call(Kind.WRITE, "clean up"))
            done.append("cleaned up")

    scheduler = Scheduler(replay(from_text("A1,A!")))
    scheduler.start("A", write)
    scheduler.run()
    assert done == ["first"]

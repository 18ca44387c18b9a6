"""How far a command is: counts, rates and shares of recent time."""

from __future__ import annotations

import json

import pytest

from pipeline import progress
from pipeline.progress import BusyTime, Details, Progress, View


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_a_step_counts_from_its_beginning(clock: Clock) -> None:
    told = Progress()
    told.begin("reading", 10)
    told.add(4, 1)
    clock.now += 2
    view = told.look()
    assert (view.step, view.seconds, view.rows, view.rejected, view.share) == ("reading", 2, 4, 1, 0.4)
    told.begin("writing")
    view = told.look()
    assert (view.step, view.seconds, view.rows, view.rejected, view.share) == ("writing", 0, 0, 0, None)


def test_a_step_goes_on_after_steps_aside(clock: Clock) -> None:
    told = Progress()
    told.begin("hashing", 10)
    told.add(4)
    clock.now += 5
    with told.aside():
        told.begin("writing", 4)
        told.add(4)
        assert told.look().step == "writing"
    view = told.look()
    assert (view.step, view.rows, view.seconds, view.share) == ("hashing", 4, 5, 0.4)


def test_the_rate_of_the_first_batches_is_not_that_of_the_moment_between_them(clock: Clock) -> None:
    """What was read in eight seconds is embedded at once, batch after batch."""
    told = Progress()
    told.begin("embedding", 100_000)
    for _ in range(3):
        clock.now += 8
        for _ in range(4):
            told.add(64)
            clock.now += 0.01
            rate = told.look().rows_per_second
            assert rate is not None
            assert rate < 60


def test_the_rate_is_that_of_the_last_minute_and_leaves_out_the_start(clock: Clock) -> None:
    told = Progress()
    told.begin("embedding", 100_000)
    clock.now += 50  # the model loads
    assert told.look().rows_per_second is None
    told.add(100)
    assert told.look().rows_per_second == 2
    for _ in range(20):
        clock.now += 2
        told.add(100)
    assert told.look().rows_per_second == 50
    for _ in range(40):
        clock.now += 2
        told.add(10)
    view = told.look()
    assert view.rows_per_second == 5
    assert view.seconds_left == (100_000 - 2_500) / 5


def test_groups_of_rows_within_a_second_give_one_rate(clock: Clock) -> None:
    told = Progress()
    told.begin("reading")
    for _ in range(1000):
        clock.now += 0.01
        told.add(1)
    assert told.look().rows_per_second == pytest.approx(100)


def test_a_rate_falls_once_rows_stay_away_for_longer_than_usual(clock: Clock) -> None:
    told = Progress()
    told.begin("embedding")
    for _ in range(3):
        clock.now += 10
        told.add(100)
    clock.now += 9
    assert told.look().rows_per_second == 10
    clock.now += 1000
    assert told.look().rows_per_second == pytest.approx(100 / 1009, rel=0.1)


def test_details_are_looked_up_at_each_look() -> None:
    told, total = Progress(), [None, 50]
    told.begin("embedding", details=lambda: Details(total.pop(), False))
    told.add(10)
    assert told.look().share == 0.2
    assert told.look().share is None


def test_a_record_is_json_and_is_read_again_with_or_without_fields_of_another_version() -> None:
    view = View("embedding", 9.0, 40, 3, 0.5, Details(100, False, "reading a", "input", 0.125, {"decode": 1.5}))
    record = json.loads(json.dumps(view.as_record()))
    assert View.of_record(record) == view
    del record["bottleneck"]
    assert View.of_record({**record, "new": 1}).details.total == 100


def test_busy_time_is_that_of_the_last_minute() -> None:
    busy = BusyTime()
    assert busy.share(0) is None
    busy.add(10, 1, 4)
    assert busy.share(10) is None, "four seconds say nothing"
    busy.add(14, 4, 4)
    assert busy.share(14) == 5 / 8
    busy.add(72, 10, 10)
    assert (busy.share(72), busy.seconds(72)) == (1, 14)
    busy.add(75, 0, 10)
    assert busy.share(75) == 0.5
    assert busy.share(200) is None

"""Faults that the explorer has found, each by the shortest schedule that shows it."""

from __future__ import annotations

import pytest

from tests.interleavings.scenario import Scenario, room_of
from tests.interleavings.scenarios import FIXED
from tests.interleavings.schedule import from_text, replay


@pytest.mark.parametrize(
    ("name", "schedule"),
    [(fault.scenario, fault.schedule) for fault in FIXED],
)
def test_a_schedule_that_broke_the_table_does_so_no_more(name: str, schedule: str) -> None:
    with room_of(Scenario.named(name)) as room:
        assert room.run(replay(from_text(schedule))).faults == []

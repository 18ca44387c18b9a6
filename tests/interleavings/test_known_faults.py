"""Faults that were found: the shortest schedules that show them, each to be fixed."""

from __future__ import annotations

import pytest

from tests.interleavings.scenario import Scenario, room_of
from tests.interleavings.scenarios import KNOWN
from tests.interleavings.schedule import from_text, replay


@pytest.mark.parametrize(
    ("name", "schedule"),
    [
        pytest.param(fault.scenario, fault.schedule, marks=pytest.mark.xfail(reason=fault.why, strict=True))
        for fault in KNOWN
    ],
)
def test_a_schedule_that_broke_the_table_does_so_no_more(name: str, schedule: str) -> None:
    with room_of(Scenario.named(name)) as room:
        assert room.run(replay(from_text(schedule))).faults == []

"""No order of steps of two or three processes, no kill and no lost answer breaks the table."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.interleavings.explorer import Explored, explore, shrink, told
from tests.interleavings.scenario import Scenario, room_of
from tests.interleavings.scenarios import PAIRS, TRIPLES, WITH_FAULTS
from tests.interleavings.share import RANDOM, SCHEDULES, SEED, spread

pytestmark = pytest.mark.timeout(1_200)  # on a busy machine

CHOSEN = [scenario for kind in (PAIRS, WITH_FAULTS, TRIPLES) for scenario in spread(kind)]


@pytest.mark.parametrize("scenario", CHOSEN, ids=lambda scenario: scenario.name)
def test_every_order_comes_to_the_rows_of_one_after_another(
    scenario: Scenario, record_property: Callable[[str, object], None]
) -> None:
    with room_of(scenario) as room:
        found = explore(room, most=SCHEDULES, random_ones=RANDOM, seed=SEED)
        record(found, record_property)
        for parts, faults in found.failing:
            pytest.fail(told(room, *shrink(room, parts, faults)))


def record(found: Explored, record_property: Callable[[str, object], None]) -> None:
    record_property("actors", found.scenario)
    for name in ("schedules", "random", "steps"):
        record_property(name, getattr(found, name))
    record_property("complete", "yes" if found.is_complete else "")
    record_property("seconds", round(found.seconds, 1))

"""How much is explored: SIGLANE_SCHEDULES schedules of each scenario, of SIGLANE_SCENARIOS ones of each kind."""

from __future__ import annotations

import os
from collections.abc import Sequence

from tests.interleavings.scenario import Scenario

SCHEDULES = int(os.environ.get("SIGLANE_SCHEDULES", "100"))
"""up to the bound of two preemptions; where there are more, a random choice"""
RANDOM = SCHEDULES // 4
"""beyond it"""
SEED = int(os.environ.get("SIGLANE_SEED", "0"))
SCENARIOS = int(os.environ.get("SIGLANE_SCENARIOS", "1000"))
"""of each kind, spread over all of them"""


def spread(scenarios: Sequence[Scenario]) -> list[Scenario]:
    """So many of them."""
    step = max(1, -(-len(scenarios) // SCENARIOS))
    return list(scenarios[::step])

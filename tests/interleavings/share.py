"""How much is explored: SIGLANE_SCHEDULES schedules of each pair or triple of actors, a few of them at random."""

from __future__ import annotations

import os

SCHEDULES = int(os.environ.get("SIGLANE_SCHEDULES", "160"))
"""up to the bound of two preemptions; where there are more, a random choice"""
RANDOM = SCHEDULES // 4
"""beyond it"""
SEED = int(os.environ.get("SIGLANE_SEED", "0"))

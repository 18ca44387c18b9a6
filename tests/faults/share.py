"""How much of the fault suite runs: SIGLANE_KILLS kills in the plain loop, and of all tests each SIGLANE_EVERY-th."""

from __future__ import annotations

import os

KILLS = int(os.environ.get("SIGLANE_KILLS", "80"))
"""in the plain loop, at random moments"""
KILLS_ON_RAY = KILLS // 4
SIGNALS = max(1, KILLS // 10)
"""of each kind, in the plain loop as on Ray"""
EVERY = int(os.environ.get("SIGLANE_EVERY", "1"))
"""of the tests, in their order, the first of so many"""

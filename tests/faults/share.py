"""How much of the fault suite runs: SIGLANE_KILLS kills in the plain loop, and all else in proportion."""

from __future__ import annotations

import os

KILLS = int(os.environ.get("SIGLANE_KILLS", "80"))
"""in the plain loop, at random moments"""
KILLS_ON_RAY = KILLS // 4
SIGNALS = max(1, KILLS // 10)
"""of each kind, in the plain loop as on Ray"""

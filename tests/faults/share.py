"""How often the fault suite kills: SIGLANE_KILLS times in the plain loop, and in proportion elsewhere."""

from __future__ import annotations

import os

KILLS = int(os.environ.get("SIGLANE_KILLS", "80"))
"""in the plain loop, at random moments"""
KILLS_ON_RAY = KILLS // 4
CHURN_SECONDS = min(60, max(20, KILLS))
"""how long encoders are killed one after the other, as spot machines come and go"""
SIGNALS = max(1, KILLS // 10)
"""of each kind, in the plain loop as on Ray"""

"""How much of this machine's CPU time other processes took while this one measured something."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

_STAT = Path("/proc/stat")
_IDLE = (3, 4)
"""of a CPU's fields: idle, and idle while something waits for a disk; user time comes first"""
_FIELDS = 8
"""the later ones are parts of the first two"""


@dataclass(frozen=True)
class Load:
    """What the CPUs that this process may use have done until now, in seconds of all of them together."""

    busy: float
    total: float
    own: float
    """CPU time of this process, and of its children that have ended"""

    def others_since(self, earlier: Load) -> float | None:
        """The share of the CPUs' time that other processes took, 0 to 1; None if no time has passed."""
        total = self.total - earlier.total
        if total <= 0:
            return None
        others = self.busy - earlier.busy - (self.own - earlier.own)
        return min(1.0, max(0.0, others / total))


def now() -> Load | None:
    """None where the system does not tell: everywhere but on Linux."""
    if not _STAT.exists():
        return None
    times = os.times()
    own = times.user + times.system + times.children_user + times.children_system
    return parsed(_STAT.read_text(), os.sched_getaffinity(0), os.sysconf("SC_CLK_TCK"), own)


def parsed(stat: str, cpus: set[int], ticks: int, own: float) -> Load:
    """From the text of /proc/stat. `ticks`: so many a second."""
    lines = {int(number): rest.split() for number, rest in re.findall(r"^cpu(\d+) (.*)$", stat, re.MULTILINE)}
    counts = [[int(field) for field in lines[cpu][:_FIELDS]] for cpu in cpus if cpu in lines]
    total = sum(map(sum, counts))
    idle = sum(fields[place] for fields in counts for place in _IDLE)
    return Load((total - idle) / ticks, total / ticks, own)

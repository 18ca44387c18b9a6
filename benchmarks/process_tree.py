"""The processes below one, and the CPU seconds that they have used."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

Roles = Sequence[tuple[str, str]]
"""(what a command line holds, role); the first that fits counts"""
OTHERS = "others"


def tree(root: int) -> list[int]:
    """The process and those below it; Ray's own are in sessions of their own, but below it all the same."""
    children = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                children[int((entry / "stat").read_text().rpartition(")")[2].split()[1])].append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    found = [root]
    for pid in found:
        found += children[pid]
    return found


def role_of(pid: int, roles: Roles) -> str:
    command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return next((role for text, role in roles if text in command), OTHERS)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

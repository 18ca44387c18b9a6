"""Whether a process that has left word of itself is still there."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from enum import Enum
from pathlib import Path


class Life(Enum):
    """What is known of a process: of one on another machine nothing, unless it is seen to do something."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Process:
    """A process as others can know it again, also after its number has gone to another one."""

    place: str
    """host, boot and process namespace: where `pid` and `start` mean something"""
    pid: int
    start: str
    """when it was started, in ticks since the boot"""

    @classmethod
    def this(cls) -> Process:
        pid = os.getpid()
        return cls(place(), pid, _start(pid))

    @property
    def life(self) -> Life:
        if self.place != place():
            return Life.UNKNOWN
        return Life.ALIVE if _start(self.pid) == self.start else Life.DEAD


def place() -> str:
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    parts = [socket.gethostname(), boot.read_text().strip() if boot.exists() else ""]
    return "/".join([*parts, str(namespace.readlink()) if namespace.exists() else ""])


def _start(pid: int) -> str:
    """Of a living process of this machine; empty where there is none."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if state in ("Z", "X") else fields[18]

"""Processes of this machine: whether one that recorded its identity still lives; memory and threads of this one."""

from __future__ import annotations

import ctypes
import gc
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
MOST_KEPT = 32 << 20
"""bytes of a block that glibc can be told to keep"""


class Life(Enum):
    """What is known about a process. A process on another machine is UNKNOWN until it shows activity."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Process:
    """The identity of a process. It stays unique even after another process gets the same pid."""

    place: str
    """host, boot and process namespace: the scope of `pid` and `start`"""
    pid: int
    start: str
    """start time, in ticks since boot"""

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


@contextmanager
def thread_beside(name: str, work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Calls `work` in a thread while the block runs. Its event is set when the block ends; then it must return."""
    over = threading.Event()
    thread = threading.Thread(target=work, args=(over,), name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def keep_freed_memory(largest: int = MOST_KEPT) -> None:
    """Lets this process use the memory that it frees again, where the C library is glibc; elsewhere nothing happens.

    By itself glibc maps a large block for its use alone and unmaps it when it is freed, so each block costs new pages,
    which the system has to clear. After this call blocks of up to `largest` bytes come from memory that stays with the
    process; for each thread that frees such blocks, up to twice as much may be free. `python -m
    benchmarks.freed_memory` measures what that brings.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version"):
        libc.mallopt(_M_MMAP_THRESHOLD, largest)
        libc.mallopt(_M_TRIM_THRESHOLD, 2 * largest)  # glibc's own ratio


def collect_only_what_comes_later() -> None:
    """Python's garbage collection no longer looks at what this process has now, which so stays until it ends.

    For a process that has loaded its libraries and its model. Ray lets all processes of a cluster collect garbage every
    10 s while the object store of one node is 70 % full. Of an encoder that takes 0.13 s of CPU, in which none of its
    threads prepares a batch.
    """
    gc.collect()
    gc.freeze()


def seconds_at_work() -> float:
    """In which this process has computed until now, and its threads that still live have waited for a CPU, as far as
    the system tells. The rest of the time it waited for something else: for a store, a disk or another process."""
    return time.process_time() + sum(map(_seconds_without_cpu, Path("/proc/self/task").glob("*/schedstat")))


def _seconds_without_cpu(schedstat: Path) -> float:
    """In which a thread could have run, but had no CPU."""
    try:
        return int(schedstat.read_text().split()[1]) / 1e9
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        return 0.0


def cpus() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def let_threads_sleep() -> None:
    """Lets torch's threads sleep while they wait for each other. Call it before torch is imported.

    By itself OpenMP lets them spin, which takes the cores from other processes: from those that decode images for them.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _start(pid: int) -> str:
    """Start time of a live process of this machine; empty if there is none."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if state in ("Z", "X") else fields[18]

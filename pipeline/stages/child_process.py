"""A child process that decodes, and may die of it: how it is started, what bounds it, and what its end says.

Both sides are here. The child runs `main(parent, descriptor, *arguments)` of a module.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

OUT_OF_MEMORY = 75
"""exit code of a process that reached its memory limit"""
_PR_SET_PDEATHSIG = 1


def start(module: str, *arguments: int, shared: Sequence[int] = ()) -> tuple[subprocess.Popen[bytes], Connection]:
    """A process that runs `main` of this module, and the connection to it. `shared`: descriptors that it gets too."""
    ours, theirs = socket.socketpair()
    with theirs:
        given = (os.getpid(), theirs.fileno(), *arguments)
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", f"from {module} import main; main{given}"],
            pass_fds=[theirs.fileno(), *shared],
            stdin=subprocess.DEVNULL,
            stdout=2,
            # The worker's own sys.path can differ from what its environment would give the child.
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            process_group=0,  # Ctrl-C must reach only the driver, which ends its children itself
        )
    return process, Connection(ours.detach())


def how_it_ended(code: int, memory_option: str = "--sample-gigabytes allows") -> str:
    """What the exit code of a child says. `memory_option`: what sets its memory limit."""
    if code == OUT_OF_MEMORY:
        return f"needed more memory than {memory_option}"
    return f"killed the process ({signal.Signals(-code).name})" if code < 0 else f"ended the process with code {code}"


def die_with_parent(parent: int) -> None:
    """Ends this process when its worker dies; a child in a hanging decode would not notice that itself."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has died already
        sys.exit()


def limit_memory(more: int) -> None:
    """Limits the memory of this process to its current size plus `more` bytes; further allocations fail.

    The limit is on data, not on address space, because libraries and threads reserve much address space without using
    it.
    """
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[5])
        limit = pages * resource.getpagesize() + more
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (limit if hard < 0 else min(limit, hard), hard))

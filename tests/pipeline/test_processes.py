"""The memory of a process, as the system sees it, and its threads.

Whether others are alive is tested with leases and killed runs.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import threading

import pytest

from pipeline.processes import thread_beside
from tests.processes import ROOT

BLOCKS = """
import resource
from pipeline import processes

if {kept}:
    processes.keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for mebibytes in range(1, 31):  # each larger than any that was freed before
    b"x" * (mebibytes << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(kept: bool) -> int:
    command = [sys.executable, "-c", BLOCKS.format(kept=kept)]
    return int(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc is tuned, no other")
def test_memory_that_is_freed_is_used_again() -> None:
    assert page_faults(kept=True) < page_faults(kept=False) / 4


@pytest.mark.parametrize("fails", [False, True])
def test_a_thread_beside_a_block_ends_with_it(fails: bool) -> None:
    said = list[str]()
    is_running = threading.Event()

    def work(over: threading.Event) -> None:
        said.append(threading.current_thread().name)
        is_running.set()
        said.append("over" if over.wait(60) else "forgotten")

    def block() -> None:
        with thread_beside("helper", work):
            assert is_running.wait(60)
            if fails:
                raise KeyError

    if fails:
        with pytest.raises(KeyError):
            block()
    else:
        block()
    assert said == ["helper", "over"]

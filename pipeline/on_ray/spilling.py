"""What a node says about the disk that it spills objects to: by itself again and again, and with tracebacks.

Ray gives what its nodes print to handlers. What is about a full disk is kept from them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

from ray._private.ray_logging import global_worker_stdstream_dispatcher as printed

OF_FULL_DISK = ("Object creation will fail if spilling is required", "spill_objects", "No space left on device")

log = logging.getLogger(__name__)

is_disk_full = threading.Event()
"""a node of the cluster has said so"""


_given = printed.emit
"""as Ray has it: gives lines to all handlers"""


def watch() -> None:
    """Call it before this process connects: from then on one line of ours stands for those of the nodes."""
    is_disk_full.clear()
    printed.emit = _hear


def _hear(data: Mapping[str, Any]) -> None:
    lines = list(map(str, data.get("lines", ())))
    if data.get("pid") != "raylet" or not any(text in line for line in lines for text in OF_FULL_DISK):
        _given(data)
    elif not is_disk_full.is_set():
        is_disk_full.set()
        log.warning(
            "node %s: the disk that Ray spills objects to is full; the run fails if its object store needs room",
            data.get("ip"),
        )

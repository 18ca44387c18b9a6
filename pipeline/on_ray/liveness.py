"""Says when a server of Ray that this process depends on no longer answers.

Ray itself says nothing of use: it waits, a minute for the cluster's head and some seconds for the node of this process,
and then ends the process with lines of its C++ part or with none.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import ray

from pipeline.processes import thread_beside

SECONDS_BETWEEN_TOUCHES = 1.0
REACHED_WITHIN_SECONDS = 10
HEAD_SILENT_SECONDS = 15.0
"""a head can be restarted, and Ray waits for it"""
NODE_SILENT_SECONDS = 0.0
"""a node that has ended never comes back"""

log = logging.getLogger(__name__)


def touch(host: str, port: int) -> None:
    """Connects and closes.

    Raises:
        OSError: nothing listens there.
        ValueError: the host name is invalid.
    """
    socket.create_connection((host.strip("[]"), port), timeout=REACHED_WITHIN_SECONDS).close()


@dataclass
class _Server:
    what: str
    host: str
    port: int
    patience: float
    """seconds of silence before it is worth a line"""
    answered: float = field(default_factory=time.monotonic)

    def silent_for(self) -> float:
        """Seconds; 0 where it answers now."""
        try:
            touch(self.host, self.port)
        except OSError:
            return time.monotonic() - self.answered
        self.answered = time.monotonic()
        return 0


@contextmanager
def watched() -> Iterator[None]:
    """For the length of the block, logs a line if the cluster's head or the node of this process stops answering."""
    with thread_beside("liveness", partial(_watch, _servers())):
        yield


def _servers() -> list[_Server]:
    context = ray.get_runtime_context()
    head, _, port = context.gcs_address.rpartition(":")
    (here,) = [node for node in ray.nodes() if node["NodeID"] == context.get_node_id()]
    host, raylet = here["NodeManagerAddress"], here["NodeManagerPort"]
    return [
        _Server("the Ray node of this process", host, raylet, NODE_SILENT_SECONDS),
        _Server("Ray's head", head, int(port), HEAD_SILENT_SECONDS),
    ]


def _watch(servers: Sequence[_Server], over: threading.Event) -> None:
    said: _Server | None = None
    while not over.wait(SECONDS_BETWEEN_TOUCHES):
        for server in servers:
            silent = server.silent_for()
            if said is None and silent > server.patience:
                said = server
                log.error(
                    "%s at %s:%d has not answered for %.0f s; if it stays so, Ray ends this process. Finished work is "
                    "in the table: run the same command again when the cluster is back",
                    *(server.what, server.host, server.port, silent),
                )
            elif said is server and not silent:
                said = None
                log.warning("%s at %s:%d answers again", server.what, server.host, server.port)

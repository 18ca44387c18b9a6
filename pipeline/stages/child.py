"""The other end of `isolate`: a process that reads and decodes chunks, and may be killed by what it decodes.

Over the connection come first the stage, then chunks. Back go, for each chunk: `Reading` before rows are read that may
kill it, `Starting` before an image is decoded, photos, and at last `Finished`, or the exception that ended it. A
process that has run out of the memory that it may take ends: what it held together is in pieces by then.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import resource
import signal
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import sources
from pipeline.sample import Sample, Stretch
from pipeline.storage import retries

if TYPE_CHECKING:
    from pipeline.stages.decode import ReadAndDecode

OUT_OF_MEMORY = 75
"""the code that a process ends with when it needs more memory than it may take"""
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Starting:
    """The image of this sample (carried without its bytes) is about to be decoded."""

    sample: Sample
    digest: str


@dataclass(frozen=True)
class Reading:
    """These rows are about to be read."""

    stretch: Stretch


@dataclass(frozen=True)
class Finished:
    """The chunk is done."""

    retries: Mapping[str, int]
    """what was tried again since the last photo, by cause"""


def serve(connection: Connection, memory: int) -> None:
    stage: ReadAndDecode = connection.recv()
    sources.formats()  # what its libraries take at their start is not a sample's
    _limit_memory(memory)

    def starting(sample: Sample, digest: str) -> None:
        connection.send(Starting(replace(sample, image=None), digest))

    def reading(stretch: Stretch) -> None:
        connection.send(Reading(stretch))

    while True:
        try:
            chunk = connection.recv()
        except (EOFError, ConnectionResetError):  # the worker needs no more, or is gone
            return
        try:
            for photos in stage.photos(replace(chunk, reading=reading), starting):
                connection.send(photos)
            connection.send(Finished(retries.take()))
        except (BrokenPipeError, ConnectionResetError):
            return
        except MemoryError:
            os._exit(OUT_OF_MEMORY)
        except Exception as error:  # noqa: BLE001 - the worker raises it
            connection.send(_fit_to_travel(error))


def _fit_to_travel(error: Exception) -> Exception:
    """The exception with its traceback as a note, or a plain one that says the same where it cannot be pickled."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - whatever an exception's own pickling raises
        return RuntimeError("".join(traceback.format_exception(error)))
    return error


def _die_with_parent() -> None:
    """A child in the midst of a hanging decode would not notice that its worker was killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _limit_memory(more: int) -> None:
    """Lets this process take so many bytes more than it has by now; beyond them allocations fail.

    Its data are limited, not its address space, of which libraries and threads take much that is never used.
    """
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[5])
        limit = pages * resource.getpagesize() + more
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (limit if hard < 0 else min(limit, hard), hard))


def main(descriptor: int, memory: int) -> None:
    _die_with_parent()
    with Connection(descriptor) as to_worker:
        serve(to_worker, memory)

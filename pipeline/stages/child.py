"""The child process of `isolate`: it reads and decodes chunks, and can be killed by the data that it decodes.

It receives the stage, then chunks. For each chunk it sends `Reading` before it reads rows that could kill it,
`Starting` before it decodes an image, the photos, and at last `Finished` or the exception that ended the chunk. A
process that reaches its memory limit exits, because a failed allocation can leave its libraries in an inconsistent
state.
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
from siglip_core import preprocess

if TYPE_CHECKING:
    from pipeline.stages.decode import ReadAndDecode

OUT_OF_MEMORY = 75
"""exit code of a process that reached its memory limit"""
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Starting:
    """The image of this sample will be decoded next. The sample is sent without the image's bytes."""

    sample: Sample
    digest: str


@dataclass(frozen=True)
class Reading:
    """These rows will be read next."""

    stretch: Stretch


@dataclass(frozen=True)
class Finished:
    """The chunk is done."""

    retries: Mapping[str, int]
    """the retries since the last photo, by cause"""


def serve(connection: Connection, memory: int) -> None:
    stage: ReadAndDecode = connection.recv()
    # Libraries are loaded before the limit is set, so that their memory does not count.
    sources.formats()
    preprocess.load_libraries()
    _limit_memory(memory)

    def starting(sample: Sample, digest: str) -> None:
        connection.send(Starting(replace(sample, image=None), digest))

    def reading(stretch: Stretch) -> None:
        connection.send(Reading(stretch))

    while True:
        try:
            chunk = connection.recv()
        except (EOFError, ConnectionResetError):  # the worker is finished, or has died
            return
        try:
            for photos in stage.photos(replace(chunk, reading=reading), starting):
                connection.send(photos)
            connection.send(Finished(retries.take()))
        except (BrokenPipeError, ConnectionResetError):
            return
        except MemoryError:
            os._exit(OUT_OF_MEMORY)
        except Exception as error:  # noqa: BLE001 - sent to the worker, which raises it
            connection.send(_fit_to_travel(error))


def _fit_to_travel(error: Exception) -> Exception:
    """The exception with its traceback as a note; if it cannot be pickled, a RuntimeError with the same text."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - an exception's own pickling can raise any error
        return RuntimeError("".join(traceback.format_exception(error)))
    return error


def _die_with_parent() -> None:
    """Ends this process when its worker dies; a child in a hanging decode would not notice that itself."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _limit_memory(more: int) -> None:
    """Limits the memory of this process to its current size plus `more` bytes; further allocations fail.

    The limit is on data, not on address space, because libraries and threads reserve much address space without using
    it.
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

"""The other end of `isolate`: a process that reads and decodes chunks, and may be killed by what it decodes.

Over the connection come first the stage, then chunks. Back go, for each chunk: `Starting` before an image is decoded,
photos, and at last `Finished`, or the exception that ended it.
"""

from __future__ import annotations

import ctypes
import pickle
import signal
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from pipeline.sample import Sample
from pipeline.storage import retries

if TYPE_CHECKING:
    from pipeline.stages.decode import ReadAndDecode

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Starting:
    """The image of this sample (carried without its bytes) is about to be decoded."""

    sample: Sample
    digest: str


@dataclass(frozen=True)
class Finished:
    """The chunk is done."""

    retries: Mapping[str, int]
    """what was tried again since the last photo, by cause"""


def serve(connection: Connection) -> None:
    stage: ReadAndDecode = connection.recv()

    def starting(sample: Sample, digest: str) -> None:
        connection.send(Starting(replace(sample, image=None), digest))

    while True:
        try:
            chunk = connection.recv()
        except EOFError:  # the worker needs no more
            return
        try:
            for photos in stage.photos(chunk, starting):
                connection.send(photos)
            connection.send(Finished(retries.take()))
        except (BrokenPipeError, ConnectionResetError):
            return
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


def main(descriptor: int) -> None:
    _die_with_parent()
    with Connection(descriptor) as to_worker:
        serve(to_worker)

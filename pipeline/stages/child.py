"""The child process of `isolate`: it reads and decodes chunks, and can be killed by the data that it decodes.

It receives the stage, then chunks. For each chunk it sends `Reading` before it reads rows that could kill it, the
photos, and at last `Finished` or the exception that ended the chunk. Which images it decodes is in shared memory
(`in_decoding`). A process that reaches its memory limit exits, because a failed allocation can leave its libraries in
an inconsistent state.

It decodes in several threads, and reads the next window meanwhile. A careful order does one thing after the other, and
sends `Starting` before it decodes an image: so it is known what killed the child.
"""

from __future__ import annotations

import os
import pickle
import threading
import traceback
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import count
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from pipeline import processes, sources
from pipeline.sample import Chunk, Sample, Stretch
from pipeline.stages.child_process import OUT_OF_MEMORY, die_with_parent, limit_memory
from pipeline.stages.in_decoding import InDecoding
from pipeline.storage import retries
from siglip_core import preprocess

if TYPE_CHECKING:
    from pipeline.stages.decode import ReadAndDecode

BYTES_OF_AN_IMAGE = 4 << 20
"""that most images take at the most, decoded: a megapixel"""


@dataclass(frozen=True)
class Order:
    """A chunk to read and decode."""

    chunk: Chunk
    is_careful: bool = False


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
    seconds_at_work: float
    """of the chunk's: the others were waits for the source"""


def serve(connection: Connection, memory: int, in_decoding: InDecoding, threads: int) -> None:
    # Decoders suppress Pillow's warnings, but Python can do that for one thread at a time only.
    warnings.simplefilter("ignore")
    stage: ReadAndDecode = connection.recv()
    # Libraries are loaded before the limit is set, so that their memory does not count.
    sources.formats()
    preprocess.load_libraries()
    limit_memory(memory)
    processes.keep_freed_memory(BYTES_OF_AN_IMAGE)  # each gets that of an earlier one
    places, own = count(), threading.local()

    def take_place() -> None:
        own.place = next(places)

    send = _Sending(connection)
    with ThreadPoolExecutor(threads, initializer=take_place) as pool:
        while True:
            try:
                order: Order = connection.recv()
            except (EOFError, ConnectionResetError):  # the worker is finished, or has died
                return
            decoding = _Decoding(order, in_decoding, own, send)
            began = processes.seconds_at_work()
            chunk = replace(order.chunk, reading=lambda stretch: send(Reading(stretch)))
            try:
                for photos in stage.photos(chunk, decoding, None if order.is_careful else pool):
                    send(photos)
                send(Finished(retries.take(), processes.seconds_at_work() - began))
            except (BrokenPipeError, ConnectionResetError):
                return
            except MemoryError:
                os._exit(OUT_OF_MEMORY)
            except Exception as error:  # noqa: BLE001 - sent to the worker, which raises it
                send(_fit_to_travel(error))


class _Sending:
    """Sends messages to the worker, from any thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def __call__(self, message: object) -> None:
        with self._lock:
            self._connection.send(message)


class _Decoding:
    """Notes which images of a chunk are decoded, each in the place of its thread."""

    def __init__(self, order: Order, in_decoding: InDecoding, own: threading.local, send: _Sending) -> None:
        self._number = {source.path: number for number, source in enumerate(order.chunk.sources)}
        self._is_careful, self._in_decoding, self._own, self._send = order.is_careful, in_decoding, own, send

    def __call__(self, sample: Sample, digest: str) -> AbstractContextManager[None]:
        if self._is_careful:
            self._send(Starting(replace(sample, image=None), digest))
        place = 0 if self._is_careful else self._own.place
        return self._in_decoding.at(place, self._number[sample.source.path], sample.row)


def _fit_to_travel(error: Exception) -> Exception:
    """The exception with its traceback as a note; if it cannot be pickled, a RuntimeError with the same text."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - an exception's own pickling can raise any error
        return RuntimeError("".join(traceback.format_exception(error)))
    return error


def main(parent: int, descriptor: int, memory: int, in_decoding: int, threads: int) -> None:
    """`parent`: the worker's pid. The descriptors are of the connection to it and of the memory of `in_decoding`."""
    die_with_parent(parent)
    with Connection(descriptor) as to_worker:
        serve(to_worker, memory, InDecoding(in_decoding, threads), threads)

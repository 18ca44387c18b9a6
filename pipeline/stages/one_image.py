"""Decodes single images of strangers in a child process: one that crashes or hangs it is refused, and no more.

The child is started before its first image, and again after it has died. It decodes one image at a time.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.stages import child_process
from siglip_core import preprocess
from siglip_core.errors import ImageError
from siglip_core.variants import Preprocessing

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class _Settings:
    preprocessing: Preprocessing
    max_pixels: int


class Decoder:
    """For one thread at a time."""

    def __init__(self, preprocessing: Preprocessing, max_pixels: int, seconds: float, memory: int) -> None:
        """Starts the child.

        Args:
            seconds: time limit for an image.
            memory: bytes that the child may use in addition to its memory at the start; only enforced on Linux.
        """
        self._settings, self._seconds, self._memory = _Settings(preprocessing, max_pixels), seconds, memory
        self._start()

    def decode(self, data: bytes) -> Pixels:
        """The pixels of an image, uint8 [H, W, 3], as `preprocess.decode` gives them.

        Raises:
            ImageError: as there; also if the image killed the process that decoded it, or took too long.
        """
        if self._process.poll() is not None:  # it died between two images, for example because memory was short
            self._start()
        self._wait_for_start()
        try:
            self._connection.send_bytes(data)
            if not self._connection.poll(self._seconds):
                raise self._lost(f"took more than {self._seconds:g} s")
            answer = self._connection.recv()
        except (EOFError, OSError) as error:
            ended = child_process.how_it_ended(self._process.wait(), "the service allows")
            raise self._lost(ended) from error
        if isinstance(answer, Exception):
            raise answer
        pixels: Pixels = answer
        return pixels

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._connection.close()

    def _start(self) -> None:
        self._process, self._connection = child_process.start("pipeline.stages.one_image", self._memory)
        self._connection.send(self._settings)
        self._is_started = False

    def _wait_for_start(self) -> None:
        """Its time does not count as that of an image."""
        if not self._is_started:
            try:
                self._connection.recv()
            except (EOFError, OSError) as error:
                how = child_process.how_it_ended(self._process.wait())
                raise RuntimeError(f"the start of the process that decodes images {how}") from error
            self._is_started = True

    def _lost(self, how: str) -> ImageError:
        """The error for an image. The child cannot be used again."""
        self.end()
        self._start()
        return ImageError("decode", f"decoding the image {how}; send another image")


def main(parent: int, descriptor: int, memory: int) -> None:
    """The child. `parent`: the pid of the process that started it."""
    child_process.die_with_parent(parent)
    warnings.simplefilter("ignore")
    with Connection(descriptor) as asking:
        settings: _Settings = asking.recv()
        preprocess.load_libraries()
        child_process.limit_memory(memory)
        asking.send("started")
        while True:
            try:
                data = asking.recv_bytes()
            except (EOFError, ConnectionResetError):
                return
            asking.send(_answer(data, settings))


def _answer(data: bytes, settings: _Settings) -> Any:
    """Pixels, or the error."""
    try:
        return preprocess.decode(data, settings.preprocessing, settings.max_pixels).pixels
    except ImageError as error:
        return error
    except MemoryError:
        os._exit(child_process.OUT_OF_MEMORY)

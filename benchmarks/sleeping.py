"""The stages of a run without its heavy computation: photos that need no decoding, and a model that sleeps.

All else is the engine's own: the embedding stage with its Arrow columns, the writing stage, Ray Data, the commits.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa

from pipeline import encoder, schema, storage
from pipeline.bottleneck import DECODE, SOURCE
from pipeline.sample import Chunk
from pipeline.stages import photos
from pipeline.stages.decode import PAIRS_PER_WINDOW, chunks_in
from pipeline.stages.embed import Embed, EmbedSettings
from pipeline.stages.photos import Photo

if TYPE_CHECKING:
    import torch

ROWS_PER_CHUNK = 1_024
"""what a part of a Parquet file of photos has, about"""
_ROWS = ".rows"
CAPTION = "a photograph of a small red house by a lake in the hills, number {}"


@dataclass(frozen=True)
class Made:
    """Callable like the stage that reads: makes photos of noise. It reads each chunk's file once, as a request."""

    side: int
    """height and width in pixels"""

    def __call__(self, chunks: pa.Table) -> Iterator[pa.Table]:
        for chunk in chunks_in(chunks):
            with storage.open_file(chunk.sources[0].uri) as handle:
                handle.read()
            for first in range(0, ROWS_PER_CHUNK, PAIRS_PER_WINDOW):
                made = [self._photo(chunk, row) for row in range(first, first + PAIRS_PER_WINDOW)]
                table = photos.table_of(made, pa.schema([]))
                yield photos.with_samples(table, len(made), {SOURCE: 0.0, DECODE: 0.0})

    def _photo(self, chunk: Chunk, row: int) -> Photo:
        (source,) = chunk.sources
        pair = {
            schema.UID: schema.make_uid(source.path, str(row), None),
            schema.KEY: str(row),
            schema.SOURCE: source.path,
            schema.SOURCE_VERSION: source.version,
            schema.SOURCE_ROW: row,
            schema.SOURCE_ROWS: ROWS_PER_CHUNK,
            schema.CAPTION: CAPTION.format(row),
            schema.ORIGINAL_WIDTH: 640,
            schema.ORIGINAL_HEIGHT: 480,
            schema.STATUS: schema.SUCCESS,
        }
        return Photo(_pixels(self.side), [pair])


@cache
def _pixels(side: int) -> Any:
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)


@dataclass(frozen=True)
class Pace:
    """How fast the models are. The driver says it in a folder that all see, and can change it during a run."""

    folder: Path

    def set(self, batch_seconds: float) -> None:
        """From now on, a full batch of images with their captions takes so long, and a smaller one its share."""
        _write(self.folder / "batch_seconds", str(batch_seconds))

    def batch_seconds(self) -> float:
        return float((self.folder / "batch_seconds").read_text())

    def count(self, rows: int) -> None:
        """Says how many rows the encoder of this process has computed so far."""
        _write(self.folder / f"{os.getpid()}{_ROWS}", str(rows))

    def counts(self) -> list[int]:
        """The rows of each encoder that has begun."""
        return [int(file.read_text()) for file in self.folder.glob(f"*{_ROWS}")]


def _write(place: Path, text: str) -> None:
    """All at once: nobody reads an empty file."""
    place.with_suffix(".new").write_text(text)
    place.with_suffix(".new").rename(place)


def load(settings: tuple[EmbedSettings, Pace], device: str) -> Embed:
    """The engine's own stage, around a model that sleeps."""
    embed, pace = settings
    model = _Sleeping(embed.identity.dimension, embed.options.batch_size, pace)
    with patch.object(encoder, "load_same", lambda *_arguments: model):
        return Embed(embed, device)


class _Sleeping:
    """A model on a device that computes one batch after the other, as a GPU does: the next one is in its queue already,
    so it loses no time where a call wakes up late."""

    def __init__(self, dimension: int, batch_size: int, pace: Pace) -> None:
        import torch

        self.spec = SimpleNamespace(embedding_dim=dimension)
        self._batch_size, self._pace = batch_size, pace
        self._lock, self._free_at, self._rows = threading.Lock(), 0.0, 0
        one = np.random.default_rng(os.getpid()).standard_normal((batch_size, dimension)).astype(np.float32)
        self._vectors = torch.from_numpy(one / np.linalg.norm(one, axis=1, keepdims=True))

    def expect_many(self) -> None:
        pass

    def encode_image(self, images: Sequence[Any]) -> torch.Tensor:
        with self._lock:
            seconds = self._pace.batch_seconds() * len(images) / self._batch_size
            self._free_at = max(self._free_at, time.monotonic()) + seconds
            done = self._free_at
        time.sleep(max(0.0, done - time.monotonic()))
        with self._lock:
            self._rows += len(images)
            self._pace.count(self._rows)
        return self._vectors[: len(images)]

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        return self._vectors[: len(texts)]

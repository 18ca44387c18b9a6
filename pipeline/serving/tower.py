"""The table's model, for many requests at once: one thread encodes all texts and images that wait, in one pass."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pipeline import encoder
from pipeline.errors import UsageError
from pipeline.schema import UNKNOWN_MODEL, Identity
from pipeline.serving.batching import Batcher
from pipeline.serving.limits import Limits
from pipeline.stages.isolate import SAMPLE_GIGABYTES
from pipeline.stages.one_image import Decoder

if TYPE_CHECKING:
    from siglip_core.encoder import Encoder

MOST = 64
"""in a batch: more are hardly faster, and the first would wait for the last"""
_DECODERS = 2
"""processes that decode, as an image may kill one"""
_BYTES_TO_DECODE = int(SAMPLE_GIGABYTES * 2**30)

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


class Tower:
    """Texts and images as vectors [D] of unit length."""

    def __init__(
        self,
        model: str | None,
        identity: Identity,
        limits: Limits,
        observe: Callable[[int], None] = lambda _size: None,
    ) -> None:
        """Loads the model. A table of vectors that were imported without a model has none.

        Raises:
            IdentityError: it is not the model that made the table.
            siglip_core.SiglipError: it cannot be loaded.
        """
        self.has_model = identity.model != UNKNOWN_MODEL
        if not self.has_model:
            return
        self._encoder: Encoder = encoder.load_same(model or identity.model, identity)
        self._encoder.expect_many()
        preprocessing = self._encoder.spec.preprocessing
        self._free: SimpleQueue[Decoder] = SimpleQueue()
        for _ in range(_DECODERS):  # they start while the tower loads
            self._free.put(Decoder(preprocessing, limits.max_pixels, limits.max_seconds, _BYTES_TO_DECODE))
        self._encoder.encode_text(["a photo"])  # loads the tokenizer and chooses layers, before a client waits for it
        self._batches: Batcher[str | Pixels, Floats] = Batcher(
            "tower", self._encode, MOST, limits.waiting, observe=observe
        )
        self._decoders = ThreadPoolExecutor(_DECODERS, "decode")

    async def text(self, text: str) -> Floats:
        """Raises OverloadedError; UsageError if there is no model; TokenizerError for an unusable text."""
        self._require_model()
        return await asyncio.wrap_future(self._batches.submit(text))

    async def image(self, data: bytes) -> Floats:
        """The vector of an image file.

        Raises:
            ImageError: it is no image, has more pixels than allowed, as its header says, or killed the process that
                decoded it.
        """
        self._require_model()
        pixels = await asyncio.wrap_future(self._decoders.submit(self._decoded, data))
        return await asyncio.wrap_future(self._batches.submit(pixels))

    def close(self) -> None:
        if self.has_model:
            self._decoders.shutdown()
            for _ in range(_DECODERS):
                self._free.get().end()
            self._batches.close()

    def _require_model(self) -> None:
        if not self.has_model:
            raise UsageError(
                "the vectors of this table were imported without a model, so only uids can be searched for; to search "
                "by text or image, import them into another table with --model"
            )

    def _decoded(self, data: bytes) -> Pixels:
        decoder = self._free.get()
        try:
            return decoder.decode(data)
        finally:
            self._free.put(decoder)

    def _encode(self, items: Sequence[str | Pixels]) -> Sequence[Floats]:
        texts = [item for item in items if isinstance(item, str)]
        images = [item for item in items if not isinstance(item, str)]
        of_texts = iter(self._encoder.encode_text(texts).numpy() if texts else ())
        of_images = iter(self._encoder.encode_image(images).numpy() if images else ())
        return [next(of_texts if isinstance(item, str) else of_images) for item in items]

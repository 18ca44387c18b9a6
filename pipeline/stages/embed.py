"""Photos -> rows of the table: runs both towers on the device of this process."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from pipeline import encoder, processes, schema
from pipeline.errors import SiglaneError
from pipeline.schema import Identity
from pipeline.stages import photos
from pipeline.stages.score import Score
from pipeline.vectors import to_column
from siglip_core.precision import PrecisionChoice

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

Vectors = npt.NDArray[np.float32]


class EncoderOptions(BaseModel):
    """The options that describe the model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(description="published id, or folder of a checkpoint")
    precision: PrecisionChoice = Field(
        "auto",
        description="dtype of the encoders; auto: that of the table, and for a new one bfloat16 where the encoders' "
        "hardware has units for it, else float32",
    )
    batch_size: int = Field(64, ge=1, description="photos or texts per batch on the device")


@dataclass(frozen=True)
class EmbedSettings:
    """The arguments of an `Embed`: small, and can be sent to another process."""

    options: EncoderOptions
    identity: Identity
    """the identity that the loaded model must have"""
    table_schema: pa.Schema
    score: bool = False
    """whether to fill cosine, logit and probability, as `siglane score` does"""


class Embed:
    """Callable on a table of photos (`photos.photo_schema`); returns their pairs as rows of the table, with the column
    `photos.RETRIES`.

    It keeps the model loaded, so each process that embeds makes one `Embed`.
    """

    def __init__(self, settings: EmbedSettings, device: str) -> None:
        self._schema = settings.table_schema
        self._score = Score(settings.identity) if settings.score else None
        self._batch_size = settings.options.batch_size
        self._model = encoder.load_same(settings.options.model, settings.identity, device)
        self._model.expect_many()
        # Photos are views of memory that cannot be written to, and the model only reads them. Torch would warn.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        if device == "cpu":
            processes.keep_freed_memory()  # each layer gets that of an earlier one

    def __call__(self, table: pa.Table) -> pa.Table:
        pairs = pa.Table.from_struct_array(pc.list_flatten(table[photos.PAIRS].combine_chunks()))
        photo_of_pair = pc.list_parent_indices(table[photos.PAIRS].combine_chunks()).to_numpy()
        wanted = pc.equal(pairs[schema.STATUS], schema.SUCCESS).to_numpy(zero_copy_only=False)

        image_vectors = self._image_vectors(table)[photo_of_pair]
        image_vectors[~wanted] = np.nan
        captions = np.array(pairs[schema.CAPTION].to_pylist(), dtype=object)
        text_vectors = self.text_vectors([text if use else None for text, use in zip(captions, wanted, strict=True)])
        rows = self._rows(pairs, image_vectors, text_vectors)
        retries = [pc.list_flatten(table[photos.RETRIES]).to_pylist(), *[None] * (rows.num_rows - 1)]
        return rows.append_column(photos.RETRIES, pa.array(retries, pa.list_(pa.string())))

    def _image_vectors(self, table: pa.Table) -> Vectors:
        """float32 [photos, D]; NaN for a photo without pixels."""
        vectors = self._no_vectors(table.num_rows)
        present = pc.is_valid(table[photos.PIXELS]).to_numpy(zero_copy_only=False)
        pixels = _pixels(table)
        vectors[present] = self._encode(len(pixels), lambda start, stop: self._model.encode_image(pixels[start:stop]))
        return vectors

    def text_vectors(self, captions: list[str | None]) -> Vectors:
        """float32 [N, D]; NaN for a pair without a caption. Equal captions are encoded once."""
        distinct = list(dict.fromkeys(text for text in captions if text is not None))
        place = {text: index for index, text in enumerate(distinct)}
        encoded = self._encode(len(distinct), lambda start, stop: self._model.encode_text(distinct[start:stop]))
        vectors = self._no_vectors(len(captions))
        present = [index for index, text in enumerate(captions) if text is not None]
        vectors[present] = encoded[[place[text] for text in captions if text is not None]]
        return vectors

    def _encode(self, count: int, encode: Callable[[int, int], torch.Tensor]) -> Vectors:
        """float32 [count, D]: the vectors of the items that `encode(start, stop)` encodes.

        If a batch does not fit in the device's memory, the batch size is halved for it and for all later batches.

        Raises:
            SiglaneError: a single item does not fit in the memory.
        """
        import torch

        vectors = self._no_vectors(count)
        start = 0
        while start < count:
            stop = min(start + self._batch_size, count)
            try:
                vectors[start:stop] = encode(start, stop).numpy()
            except torch.OutOfMemoryError as error:
                if stop - start == 1:
                    raise SiglaneError(
                        f"one item does not fit in device memory: {error}; use a device with more memory"
                    ) from error
                self._batch_size = (stop - start) // 2
                log.warning("device memory is full: the batch size is now %d", self._batch_size)
                torch.cuda.empty_cache()
            else:
                start = stop
        return vectors

    def _no_vectors(self, count: int) -> Vectors:
        return np.full((count, self._model.spec.embedding_dim), np.nan, dtype=np.float32)

    def _rows(self, pairs: pa.Table, image_vectors: Vectors, text_vectors: Vectors) -> pa.Table:
        columns = {name: pairs[name] for name in pairs.column_names}
        columns[schema.IMAGE_VECTOR] = self._vector_column(schema.IMAGE_VECTOR, image_vectors)
        columns[schema.TEXT_VECTOR] = self._vector_column(schema.TEXT_VECTOR, text_vectors)
        if self._score is not None:
            columns |= self._score.where_possible(columns[schema.IMAGE_VECTOR], columns[schema.TEXT_VECTOR])
        empty = {
            field.name: pa.nulls(pairs.num_rows, field.type) for field in self._schema if field.name not in columns
        }
        return pa.table(columns | empty).select(self._schema.names).cast(self._schema)

    def _vector_column(self, name: str, values: Vectors) -> pa.Array:
        """[N, D] as the column of this name; a vector with NaN becomes null."""
        return to_column(values, np.isnan(values).any(axis=1), self._schema.field(name).type)


def _pixels(table: pa.Table) -> list[npt.NDArray[np.uint8]]:
    """uint8 [H, W, 3] of each photo that has pixels: views of the table, as copies took longer than all else here.
    Nobody can write to them. Their sizes differ only for a NaFlex model."""
    sizes = zip(*(table[name].to_pylist() for name in (photos.PIXELS_HEIGHT, photos.PIXELS_WIDTH)), strict=True)
    views = (view for chunk in table[photos.PIXELS].chunks for view in _views(chunk))
    return [view.reshape(*size, 3) for view, size in zip(views, sizes, strict=True) if view is not None]


def _views(values: pa.LargeBinaryArray) -> Iterator[npt.NDArray[np.uint8] | None]:
    """The bytes of each value. Arrow's own scalars are copies of them."""
    _, offsets, data = values.buffers()
    if not len(values) or data is None:
        yield from [None] * len(values)
        return
    ends = np.frombuffer(offsets, np.int64, len(values) + 1, 8 * values.offset)
    memory = np.frombuffer(data, np.uint8)
    for is_valid, start, end in zip(values.is_valid().to_pylist(), ends[:-1], ends[1:], strict=True):
        yield memory[start:end] if is_valid else None

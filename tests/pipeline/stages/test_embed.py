"""The embedding stage: how photos reach the model, and a device whose memory is full."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipeline.embedding import plan
from pipeline.embedding.plan import EmbedOptions
from pipeline.errors import SiglaneError
from pipeline.sources.formats import folder
from pipeline.stages import decode
from pipeline.stages.decode import chunk_table
from pipeline.stages.embed import Embed
from siglip_core.encoder import Encoder
from tests.samples import write_photos

ITEMS = 10


@pytest.fixture(autouse=True)
def one_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "FILES_PER_CHUNK", ITEMS)
    monkeypatch.setattr(decode, "PAIRS_PER_WINDOW", ITEMS)


def embed(place: Path, model: Path, on_the_way: Callable[[pa.Table], pa.Table] = lambda photos: photos) -> pa.Table:
    write_photos(place / "in", ITEMS)
    planned = plan.plan(EmbedOptions(input=str(place / "in"), table=str(place / "t"), model=str(model), batch_size=8))
    (photos,) = planned.decode(chunk_table(planned.chunks))
    return Embed(planned.embed, "cpu")(on_the_way(photos))


def holding(most: int, encode: Callable[..., torch.Tensor], sizes: list[int]) -> Callable[..., torch.Tensor]:
    """The tower on a device that holds so many items; notes the size of each batch that went through."""

    def limited(self: Encoder, items: Any) -> torch.Tensor:
        if len(items) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        sizes.append(len(items))
        return encode(self, items)

    return limited


def test_photos_in_memory_that_cannot_be_written_to_reach_the_model_without_a_copy(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as that of Ray's object store. Torch would warn of it, on each node."""
    stored: list[pa.Table] = []
    given: list[np.ndarray[Any, Any]] = []
    encode = Encoder.encode_image

    def noted(self: Encoder, images: Any) -> torch.Tensor:
        given.extend(images)
        return encode(self, images)

    def in_a_store(photos: pa.Table) -> pa.Table:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, photos.schema) as stream:
            stream.write_table(photos)
        stored.append(pa.ipc.open_stream(pa.py_buffer(sink.getvalue().to_pybytes())).read_all())
        return stored[0]

    monkeypatch.setattr(Encoder, "encode_image", noted)
    torch.set_warn_always(True)  # else only once for each process
    with warnings.catch_warnings(record=True, action="always") as heard:
        embed(tmp_path, model, in_a_store)
    torch.set_warn_always(False)
    assert not [str(warning.message) for warning in heard if "writable" in str(warning.message)]
    (pixels,) = stored[0]["pixels"].chunks
    memory = np.frombuffer(pixels.buffers()[2], np.uint8)
    assert len(given) == ITEMS
    assert all(np.shares_memory(image, memory) for image in given)


def test_batches_are_halved_until_the_devices_memory_holds_them(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = embed(tmp_path / "whole", model)
    images: list[int] = []
    texts: list[int] = []
    monkeypatch.setattr(Encoder, "encode_image", holding(3, Encoder.encode_image, images))
    monkeypatch.setattr(Encoder, "encode_text", holding(1, Encoder.encode_text, texts))
    halved = embed(tmp_path / "halved", model)
    assert images == [2] * (ITEMS // 2), "from 8 to 4 to 2, and no larger again"
    assert texts == [1] * ITEMS
    for column in ("image_vector", "text_vector"):
        vectors = (np.array(table[column].to_pylist()) for table in (whole, halved))
        np.testing.assert_allclose(*vectors, atol=1e-3)


def test_memory_that_does_not_hold_a_single_item_ends_the_run(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Encoder, "encode_image", holding(0, Encoder.encode_image, []))
    with pytest.raises(SiglaneError, match="one item does not fit in device memory"):
        embed(tmp_path, model)

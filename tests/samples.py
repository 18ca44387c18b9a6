"""Datasets made by the tests: photos drawn from a seed, as folders and as Parquet."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

CAPTIONS = [
    "a red square",
    "a blue field with a dog",
    "two birds on a wire",
    "the sea at night",
    "a street in the rain",
]


def jpeg(seed: int, size: tuple[int, int] = (40, 30)) -> bytes:
    """A photo-like picture, another one for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def large_png(side: int) -> bytes:
    """A black square of few kilobytes that takes 4 bytes a pixel to decode."""
    buffer = io.BytesIO()
    Image.new("RGB", (side, side)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def write_photos(folder: Path, count: int, first: int = 0) -> Path:
    """`count` photos with a caption beside each."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(first, first + count):
        (folder / f"photo{index:04d}.jpg").write_bytes(jpeg(index))
        (folder / f"photo{index:04d}.txt").write_text(f"{CAPTIONS[index % len(CAPTIONS)]}, number {index}\n")
    return folder


def write_parquet(file: Path, images: Sequence[bytes | None], captions: Sequence[str | None], **more: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    rows_per_group = more.pop("row_group_size", None)
    pq.write_table(
        pa.table({"image": pa.array(images, pa.binary()), "caption": captions, **more}), file, rows_per_group
    )
    return file


def write_tar(file: Path, members: Sequence[tuple[str, bytes]], mode: str = "w") -> Path:
    """A tar of these members, in this order."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, mode) as tar:  # type: ignore[call-overload]
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file


def write_saved_dataset(folder: Path, shards: Sequence[pa.Table]) -> Path:
    """A dataset as Hugging Face's `Dataset.save_to_disk` writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"data-{shard:05d}-of-{len(shards):05d}.arrow" for shard in range(len(shards))]
    for name, shard in zip(names, shards, strict=True):
        with pa.ipc.new_stream(folder / name, shard.schema) as writer:
            writer.write_table(shard, 1000)
    state = {"_data_files": [{"filename": name} for name in names], "_fingerprint": "cc0c9db7bbaad304", "_split": None}
    (folder / "state.json").write_text(json.dumps(state, indent=2))
    (folder / "dataset_info.json").write_text(json.dumps({"citation": "", "features": {}}, indent=2))
    return folder

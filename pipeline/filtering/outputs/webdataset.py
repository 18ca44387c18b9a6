"""Output as WebDataset: tars of the original images, not re-encoded, each with its caption and its row as JSON.

The input is read once, in its order. The folder holds tars alone, as Hugging Face's datasets read every file in it. The
folder beside it is as img2dataset writes one: it has links to the tars, and the files in which open_clip and DataComp's
resharder look up how many samples a tar has.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from pipeline import originals, schema
from pipeline.fileformats import sniff
from pipeline.filtering import parquet_parts
from pipeline.filtering.json_numbers import finite
from pipeline.filtering.manifest import beside
from pipeline.filtering.outputs import Writer
from pipeline.filtering.shards import Shards
from pipeline.iteration import ahead
from pipeline.originals import Original
from pipeline.sample import IMAGE_SUFFIXES, UNNAMED_IMAGE
from pipeline.sources import SourceOptions
from pipeline.table import Table
from siglip_core.images import icons
from siglip_core.preprocess import FORMATS

HELP = "the original images in tars"
SIZES = "sizes.json"
_SUFFIXES = {
    **{"JPEG": "jpg", "PNG": "png", "GIF": "gif", "WebP": "webp", "BMP": "bmp", "TIFF": "tif", "AVIF": "avif"},
    **{"HEIC": "heic", "JPEG XL": "jxl"},
}
"""by the kind of the bytes; other images keep the suffix that they have in the input"""


class Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    shard_size: int = Field(10_000, ge=1, description="samples in a tar")
    shuffle_seed: int | None = Field(
        None, ge=0, description="shuffle the samples with this seed; by default they keep the order of the input"
    )


def reads_images(_: Options) -> bool:
    return True


def writer(options: Options, source: SourceOptions | None) -> Writer:
    assert source is not None
    return Tars(source, options)


@dataclass(frozen=True)
class Tars:
    source: SourceOptions
    options: Options

    def columns(self, table: Table) -> pa.Schema:
        return originals.columns(table)

    def write(self, table: Table, batches: Iterable[pa.RecordBatch], folder: Path) -> None:
        """Writes `00000000.tar` and so on; beside the folder, a link and a `_stats.json` for each, and `sizes.json`."""
        seed = self.options.shuffle_seed
        rows = originals.collect(batches)
        shards = Shards(folder, self.options.shard_size, spooled=seed is not None)
        places = None
        if seed is not None:
            places = np.random.default_rng(seed).permutation(len(rows.addresses))
        arrived = count()
        for some in ahead(originals.with_records(table, self.source, rows, parquet_parts.columns(table).names)):
            of_some = [next(arrived) if places is None else int(places[original.row]) for original in some]
            shards.add(zip(of_some, map(_members, some), strict=True))
        sizes = shards.finish()
        for name, samples in sizes.items():
            (beside(folder) / name).symlink_to(Path("..", folder.name, name))
            stats = {"count": samples, "successes": samples}
            _write_json(beside(folder) / f"{name.removesuffix('.tar')}_stats.json", stats)
        _write_json(beside(folder) / SIZES, sizes)


def _write_json(file: Path, content: Mapping[str, int]) -> None:
    file.write_text(json.dumps(content) + "\n", "utf-8")


def _members(original: Original) -> Sequence[tuple[str, bytes]]:
    """(suffix, bytes) of one sample's members, the image first."""
    members: list[tuple[str, bytes]] = []
    if original.image is not None:
        members.append((_suffix(original.image, original.record), original.image))
    if original.record[schema.CAPTION] is not None:
        members.append(("txt", original.record[schema.CAPTION].encode()))
    return [*members, ("json", _json(original.record).encode())]


def _suffix(image: bytes, record: Mapping[str, Any]) -> str:
    kind = sniff.kind(image[: sniff.HEAD_BYTES])
    if kind in _SUFFIXES:
        return _SUFFIXES[kind]
    own = PurePosixPath(record[schema.MEMBER] or record[schema.SOURCE]).suffix.lower()
    if own in IMAGE_SUFFIXES:
        return own.removeprefix(".")
    icon = icons.kind(image)
    if icon is not None:  # Pillow would decode it, and refuse some that we read
        return icon.lower()
    Image.init()
    with Image.open(BytesIO(image), formats=FORMATS) as opened:
        of_format = (suffix for suffix, name in Image.EXTENSION.items() if name == opened.format)
        return next(of_format, UNNAMED_IMAGE).removeprefix(".")


def _json(record: dict[str, Any]) -> str:
    try:
        return _ENCODER.encode(record)
    except ValueError:  # a NaN or infinite number; few records have one
        return _ENCODER.encode(finite(record))


def _as_text(value: Any) -> str:
    """The text for a value of a kept column that JSON cannot represent."""
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if isinstance(value, datetime.date | datetime.time) else str(value)


_ENCODER = json.JSONEncoder(default=_as_text, ensure_ascii=False, allow_nan=False)

"""Output for DataComp: `subset.npy`, the kept uids in the form that its resharder reads, and metadata beside it."""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from pipeline import schema
from pipeline.filtering import parquet_parts
from pipeline.filtering.outputs import Writer
from pipeline.sources import SourceOptions
from pipeline.table import Table

HELP = "sorted uids and metadata"
SUBSET = "subset.npy"
METADATA = "metadata"
_UID, _BYTES = np.dtype("u8,u8"), np.dtype("S16")
# DataComp's columns -> ours. DataComp names a score clip_MODEL_similarity_score; its baselines cut by those of its two
# models, so they find the cosine of the table's model under these names too.
_COLUMNS = {
    "uid": schema.UID,
    "url": "url",
    "text": schema.CAPTION,
    "original_width": schema.ORIGINAL_WIDTH,
    "original_height": schema.ORIGINAL_HEIGHT,
    "sha256": "sha256",
    "clip_siglip_similarity_score": schema.COSINE,
    "clip_l14_similarity_score": schema.COSINE,
    "clip_b32_similarity_score": schema.COSINE,
}


class Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def reads_images(_: Options) -> bool:
    return False


def writer(_options: Options, _source: SourceOptions | None) -> Writer:
    return Subset()


@dataclass(frozen=True)
class Subset:
    def columns(self, table: Table) -> pa.Schema:
        names = dict.fromkeys(_COLUMNS.values())
        return pa.schema([table.schema.field(name) for name in names if name in table.schema.names])

    def write(self, table: Table, batches: Iterable[pa.RecordBatch], folder: Path) -> None:
        """Writes `subset.npy`, and Parquet below `metadata`.

        A uid of several rows is in the subset several times. DataComp reads this as upsampling.
        """
        held = self.columns(table)
        ours = {name: column for name, column in _COLUMNS.items() if column in held.names}
        renamed_columns = pa.schema([held.field(column).with_name(name) for name, column in ours.items()])
        uids: list[npt.NDArray[np.bytes_]] = []

        def renamed() -> Iterator[pa.RecordBatch]:
            for batch in batches:
                uids.append(_bytes(batch[schema.UID]))
                columns = [batch[column] for column in ours.values()]
                yield pa.RecordBatch.from_arrays(columns, schema=renamed_columns)

        (folder / METADATA).mkdir()
        parquet_parts.write_parts(renamed(), renamed_columns, folder / METADATA)
        # Sorting bytes gives the same order as sorting the pairs of numbers, four times as fast.
        np.save(folder / SUBSET, _numbers(np.sort(np.concatenate([np.empty(0, _BYTES), *uids]))))


def _bytes(uids: pa.StringArray) -> npt.NDArray[np.bytes_]:
    """32 hex characters each -> 16 bytes, [N]."""
    assert uids.type == pa.string(), uids.type
    assert not uids.null_count
    if not len(uids):
        return np.empty(0, _BYTES)
    _, offsets, characters = uids.buffers()
    first, last = np.frombuffer(offsets, np.int32)[[uids.offset, uids.offset + len(uids)]]
    return np.frombuffer(unhexlify(memoryview(characters)[first:last]), _BYTES)


def _numbers(uids: npt.NDArray[np.bytes_]) -> npt.NDArray[np.void]:
    """16 bytes each -> two integers of 64 bits, the first half and the second: `u8,u8` [N]."""
    return uids.view(">u8").astype(np.uint64).view(_UID)

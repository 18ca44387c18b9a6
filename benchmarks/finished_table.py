"""A large finished table and its input, made in minutes: rows as a run leaves them, vectors of 8 numbers.

Rows lie as readers leave them: 16 sources at a time, in turns of 256 rows. The input's files are there, with the sizes
and times that the table states, but hold one row each: a run that goes by the table opens only the first of them.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import encoder, schema, storage
from scenes.draw import jpeg
from scenes.plan import plan
from siglip_core import Preprocessing, Spec, TextSpec, VisionSpec, checkpoint
from siglip_core.init import initialise
from siglip_core.model import Siglip
from siglip_core.tokenizer_training import train_tokenizer

READERS = 16
ROWS_PER_TURN = 256
DIMENSION = 8
SEED = 7

Numbers = npt.NDArray[np.int64]


def write_model(folder: Path, dimension: int = DIMENSION) -> None:
    """The smallest SigLIP that loads: vectors of 8 numbers or so many, weights random."""
    spec = Spec(
        "tiny",
        VisionSpec(width=dimension, depth=1, heads=1, mlp=16, patch_size=16, resolution=32),
        TextSpec(width=dimension, depth=1, heads=1, mlp=16, vocab_size=512, length=16, embedding_dim=dimension),
        Preprocessing("hf-bicubic-aa", 32),
    )
    checkpoint.save(initialise(Siglip(spec), SEED), folder)
    captions = [row.caption for row in plan(500, SEED)]
    (folder / "spiece.model").write_bytes(train_tokenizer(captions, 512))


def write_input(folder: Path, sources: int) -> None:
    """So many Parquet files of one row, a thousand to a folder."""
    (row,) = plan(1, SEED)
    file = io.BytesIO()
    pq.write_table(pa.table({"image": [jpeg(row.picture, 32)], "caption": [row.caption]}), file)
    for number in range(sources):
        path = folder / f"part-{number // 1000:04d}" / f"{number:08d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.getvalue())


@dataclass(frozen=True)
class FinishedRows:
    """The rows of a table that holds all of an input."""

    model: Path
    input: Path
    rows_per_source: int

    def __iter__(self) -> Iterator[pa.Table]:
        """Tables in the table's schema, of up to READERS · ROWS_PER_TURN rows each."""
        columns = schema.table_schema(encoder.identify(str(self.model), "float32"))
        files = storage.list_files(str(self.input)).files
        for start in range(0, len(files), READERS):
            read_together = files[start : start + READERS]
            paths = pa.array([file.path for file in read_together])
            versions = pa.array([file.version for file in read_together])
            for first in range(0, self.rows_per_source, ROWS_PER_TURN):
                turn = np.arange(first, min(first + ROWS_PER_TURN, self.rows_per_source))
                which = np.repeat(np.arange(len(read_together)), len(turn))
                row = np.tile(turn, len(read_together))
                yield self._rows(columns, paths.take(which), versions.take(which), row)

    def _rows(self, columns: pa.Schema, sources: pa.Array, versions: pa.Array, row: Numbers) -> pa.Table:
        random = np.random.default_rng(int(row[0]))
        vectors = random.standard_normal(len(row) * DIMENSION).astype(np.float16)
        vector = pa.FixedSizeListArray.from_arrays(pa.array(vectors), DIMENSION)
        values = {
            schema.UID: _hexadecimal(random.bytes(16 * len(row)), 32),
            schema.KEY: pa.array(row).cast(pa.string()),
            schema.SOURCE: sources,
            schema.SOURCE_VERSION: versions,
            schema.SOURCE_ROW: pa.array(row),
            schema.SOURCE_ROWS: pa.repeat(self.rows_per_source, len(row)),
            schema.CAPTION: pa.repeat("a drawn thing", len(row)),
            schema.STATUS: pa.repeat(schema.SUCCESS, len(row)),
            schema.IMAGE_VECTOR: vector,
            schema.TEXT_VECTOR: vector,
        }
        missing = {field.name: pa.nulls(len(row), field.type) for field in columns if field.name not in values}
        return pa.table({name: (values | missing)[name] for name in columns.names}, columns)


def _hexadecimal(data: bytes, width: int) -> pa.Array:
    """Bytes as texts of `width` hexadecimal digits each."""
    digits = data.hex().encode()
    offsets = np.arange(0, len(digits) + 1, width, dtype=np.int32)
    return pa.StringArray.from_buffers(len(digits) // width, pa.py_buffer(offsets), pa.py_buffer(digits))


def in_groups(tables: Iterator[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of exactly so many, the last one of what is left."""
    held: list[pa.Table] = []
    count = 0
    for table in tables:
        held.append(table)
        count += table.num_rows
        while count >= rows:
            whole = pa.concat_tables(held)
            yield whole.slice(0, rows)
            held, count = [whole.slice(rows)], count - rows
    if count:
        yield pa.concat_tables(held)

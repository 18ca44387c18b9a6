"""Finds the parts of an input of vectors. A part is a Parquet file of rows, with the place of their vectors."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.errors import InputError, UsageError
from pipeline.importing import arrays
from pipeline.storage import File, Listing
from pipeline.vectors import to_numpy_with_nulls

Layout = Literal["clip-retrieval", "datacomp", "columns"]
Vectors = npt.NDArray[np.float32]

ROWS_PER_BATCH = 16_384

_METADATA = re.compile(r"(?:.*/)?metadata_(\d+)\.parquet")
_DATACOMP = (("l14_img", "l14_txt"), ("b32_img", "b32_txt"))


@dataclass(frozen=True)
class Vector:
    """The place of a part's vectors: a column of its Parquet file, an array file, or a member of an archive."""

    column: str | None = None
    file: File | None = None
    member: str | None = None


@dataclass(frozen=True)
class Part:
    rows: File
    """the Parquet file"""
    image: Vector
    text: Vector | None

    @property
    def files(self) -> list[File]:
        beside = [vector.file for vector in (self.image, self.text) if vector is not None and vector.file is not None]
        return list(dict.fromkeys([self.rows, *beside]))

    @property
    def version(self) -> str:
        return "+".join(file.version for file in self.files)


def find(listing: Listing, layout: Layout | None, image: str | None, text: str | None) -> list[Part]:
    """The parts of an input. `image` and `text`: names of vector columns, or of arrays in an archive.

    Raises:
        InputError: a file of a part is missing.
        UsageError: the layout needs the name of a column.
    """
    by_path = {file.path: file for file in listing.files}
    parquet = [file for file in listing.files if file.path.endswith(".parquet")]
    if not parquet:
        raise InputError(f"input {listing.uri}: no Parquet file; add the Parquet file with the vectors' rows")
    layout = layout or _recognised(by_path, parquet)
    if layout == "clip-retrieval":
        return [_clip_retrieval(file, by_path) for file in parquet if _METADATA.fullmatch(file.path)]
    if layout == "datacomp":
        return [_datacomp(file, by_path, image, text) for file in parquet]
    if image is None:
        raise UsageError("--image-vector-col is required: it names the column of image vectors")
    return [Part(file, Vector(image), None if text is None else Vector(text)) for file in parquet]


def _recognised(by_path: Mapping[str, File], parquet: Sequence[File]) -> Layout:
    if all(_METADATA.fullmatch(file.path) for file in parquet):
        return "clip-retrieval"
    return "datacomp" if all(_beside(file, ".npz") in by_path for file in parquet) else "columns"


def _beside(file: File, suffix: str) -> str:
    return PurePosixPath(file.path).with_suffix(suffix).as_posix()


def _clip_retrieval(file: File, by_path: Mapping[str, File]) -> Part:
    """`metadata_0.parquet` with `img_emb_0.npy` and `text_emb_0.npy`, in one folder or in three sibling folders."""
    number = _METADATA.fullmatch(file.path)
    assert number is not None
    folder = PurePosixPath(file.path).parent

    def array(name: str) -> File | None:
        own = f"{name}_{number[1]}.npy"
        places = [folder / own, folder.parent / name / own]
        return next((by_path[place.as_posix()] for place in places if place.as_posix() in by_path), None)

    image, text = array("img_emb"), array("text_emb")
    if image is None:
        raise InputError(
            f"{file.path}: img_emb_{number[1]}.npy is missing; put it beside this file, or into the folder img_emb"
        )
    return Part(file, Vector(file=image), None if text is None else Vector(file=text))


def _datacomp(file: File, by_path: Mapping[str, File], image: str | None, text: str | None) -> Part:
    """`UUID.parquet` with `UUID.npz`. If it has vectors of two models, the larger model's, unless others are named."""
    archive = by_path.get(_beside(file, ".npz"))
    if archive is None:
        raise InputError(f"{file.path}: {_beside(file, '.npz')} is missing; put it beside this file")
    default = _DATACOMP[1] if image is not None and image.startswith("b32") else _DATACOMP[0]
    names = (image or default[0], text or default[1])
    return Part(file, *(Vector(file=archive, member=name) for name in names))


@contextmanager
def reading(file: File) -> Iterator[None]:
    """Turns Arrow's errors in the block into an error that names the Parquet file."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{file.path}: not readable as Parquet: {error}; fix or remove the file") from error


def read(part: Part, also: Collection[str]) -> Iterator[tuple[pa.RecordBatch, Vectors, Vectors | None]]:
    """The rows of a part in order, with their vectors, float32 [N, D]; NaN for a missing vector.

    `also`: names of other columns to read, if the Parquet file has them.

    Raises:
        InputError: a file cannot be read, or the files of the part differ in length.
    """
    wanted = [vector for vector in (part.image, part.text) if vector is not None]
    with reading(part.rows), ExitStack() as stack:
        file = pq.ParquetFile(stack.enter_context(storage.open_file(part.rows.uri)))
        opened = [
            None if vector.file is None else stack.enter_context(arrays.opened(vector.file, vector.member))
            for vector in wanted
        ]
        for rows, vector in zip(opened, wanted, strict=True):
            if rows is not None and vector.file is not None and rows.rows != file.metadata.num_rows:
                raise InputError(
                    f"{vector.file.path}: {rows.rows} vectors, but {file.metadata.num_rows} rows in {part.rows.path}; "
                    "give files of the same run"
                )
        names = [vector.column for vector in wanted if vector.column is not None]
        for name in names:
            if name not in file.schema_arrow.names:
                has = ", ".join(file.schema_arrow.names)
                raise InputError(
                    f"{part.rows.path}: no column {name!r}; it has {has}; name one with --image-vector-col"
                )
        columns = [name for name in file.schema_arrow.names if name in also or name in names]
        for batch in file.iter_batches(ROWS_PER_BATCH, columns=columns):
            vectors = [
                rows.read(len(batch)) if rows is not None else _of_column(part.rows.path, str(vector.column), batch)
                for rows, vector in zip(opened, wanted, strict=True)
            ]
            yield batch.drop_columns(names), vectors[0], vectors[1] if len(vectors) > 1 else None


def _of_column(path: str, name: str, batch: pa.RecordBatch) -> Vectors:
    column = batch[name]
    kind = column.type
    is_list = pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if not is_list or not pa.types.is_floating(kind.value_type):
        raise InputError(
            f"{path}: column {name!r} has type {kind}, not lists of floats; name another with --image-vector-col"
        )
    present = column.drop_null()
    dimension = len(present.flatten()) // len(present) if len(present) else 0
    if not pa.types.is_fixed_size_list(kind) and any(len(value) != dimension for value in present):
        raise InputError(f"{path}: the lists of column {name!r} differ in length; write vectors of equal length")
    return to_numpy_with_nulls(column, dimension, np.nan)

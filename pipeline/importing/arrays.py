"""Reads rows of numpy files in batches, without loading the complete array."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline import storage
from pipeline.errors import InputError
from pipeline.storage import File

_BAD_ZIP = (zipfile.BadZipFile, KeyError, NotImplementedError)


class ArrayRows:
    """An array [N, D] of floats in a file, read from the first row to the last."""

    def __init__(self, name: str, file: Any) -> None:
        self._name = name
        self._file = file
        try:
            major, _ = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
            shape, is_fortran, dtype = read(file)
        except ValueError as error:
            raise InputError(f"{name}: not a numpy array: {error}; save it with numpy.save") from error
        if len(shape) != 2 or dtype.kind != "f" or is_fortran:
            raise InputError(
                f"{name}: contains {dtype} of shape {shape}; give floats of shape [rows, D] in row-major order"
            )
        self.rows, self.dimension = shape
        self._dtype = dtype

    def read(self, count: int) -> npt.NDArray[np.float32]:
        """The next rows, float32 [count, D].

        Raises:
            InputError: the file ends too early.
        """
        wanted = count * self.dimension * self._dtype.itemsize
        data = self._file.read(wanted)
        if len(data) < wanted:
            raise InputError(f"{self._name}: the file ends before its {self.rows} rows; write it again")
        with np.errstate(over="ignore"):
            return np.frombuffer(data, self._dtype).astype(np.float32).reshape(count, self.dimension)


@contextmanager
def opened(file: File, member: str | None = None) -> Iterator[ArrayRows]:
    """The array of a `.npy` file, or of a member of a `.npz` file.

    Raises:
        InputError: the file has another format, or lacks the member.
    """
    with storage.open_file(file.uri) as stream:
        if member is None:
            yield ArrayRows(file.path, stream)
            return
        try:
            archive = zipfile.ZipFile(stream)
            inside = archive.open(f"{member}.npy")
        except _BAD_ZIP as error:
            raise InputError(f"{file.path}: no array {member!r}: {error}; name one with --image-vector-col") from error
        with archive, inside:
            yield ArrayRows(f"{file.path} {member}", inside)

"""Converts columns of vectors to numpy arrays, and back.

A vector column is an Arrow FixedSizeList of D floats with N rows; the array is [N, D].
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Vectors = npt.NDArray[np.float16 | np.float32]


def to_numpy(column: pa.FixedSizeListArray) -> Vectors:
    """A vector column without nulls as [N, D], in its stored dtype."""
    assert column.null_count == 0
    values: Vectors = column.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(column), column.type.list_size)


def to_numpy_with_nulls(column: pa.Array, dimension: int, null: float) -> npt.NDArray[np.float32]:
    """A column of lists of `dimension` floats, fixed-size or not, as [N, D]. Null rows are filled with `null`."""
    values_ND = np.full((len(column), dimension), null, np.float32)
    present = column.drop_null()
    is_present = column.is_valid().to_numpy(zero_copy_only=False).astype(bool)
    values_ND[is_present] = present.flatten().to_numpy(zero_copy_only=False).reshape(len(present), dimension)
    return values_ND


def to_column(
    values_ND: npt.NDArray[np.floating], is_null_N: npt.ArrayLike, kind: pa.DataType
) -> pa.FixedSizeListArray:
    """An array [N, D] as a column of type `kind`; null where `is_null_N` is true."""
    values_ND = values_ND.astype(kind.value_type.to_pandas_dtype())
    return pa.FixedSizeListArray.from_arrays(pa.array(values_ND.ravel()), kind.list_size, mask=pa.array(is_null_N))

"""Columns of vectors and arrays [N, D] hold the same numbers, nulls included."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from pipeline.vectors import to_column, to_numpy, to_numpy_with_nulls

VALUES = np.array([[1.5, -2.0], [0.25, 4.0], [3.0, 0.5]], np.float32)


@pytest.mark.parametrize("dtype", [pa.float16(), pa.float32()])
def test_an_array_comes_back_from_its_column_in_the_type_of_the_column(dtype: pa.DataType) -> None:
    column = to_column(VALUES, np.zeros(3, bool), pa.list_(dtype, 2))
    assert column.type == pa.list_(dtype, 2)
    back = to_numpy(column)
    assert back.dtype == dtype.to_pandas_dtype()
    assert (back == VALUES).all()


def test_a_slice_of_a_column_gives_its_own_rows() -> None:
    column = to_column(VALUES, np.zeros(3, bool), pa.list_(pa.float32(), 2))
    assert to_numpy(column[1:]).tolist() == VALUES[1:].tolist()


@pytest.mark.parametrize("kind", [pa.list_(pa.float32(), 2), pa.list_(pa.float32()), pa.large_list(pa.float16())])
def test_null_rows_are_filled(kind: pa.DataType) -> None:
    column = pa.array([None, [0.25, 4.0], None], kind)
    assert to_numpy_with_nulls(column, 2, 0).tolist() == [[0, 0], [0.25, 4.0], [0, 0]]
    assert np.isnan(to_numpy_with_nulls(column, 2, np.nan)).tolist() == [[True] * 2, [False] * 2, [True] * 2]
    if pa.types.is_fixed_size_list(kind):
        assert to_column(to_numpy_with_nulls(column, 2, 0), np.array([True, False, True]), kind).equals(column)

"""The addresses of rows are those that Lance gives, and its fragments and places come back from them."""

from __future__ import annotations

from pathlib import Path

import lance
import numpy as np
import pyarrow as pa

from pipeline.fileformats.row_address import ROW_ADDRESS, addresses_in, by_fragment, fragments_of, places_of


def test_addresses_are_lances_own(tmp_path: Path) -> None:
    rows = pa.table({"n": range(7)})
    dataset = lance.write_dataset(rows, tmp_path / "t.lance", max_rows_per_file=3)
    dataset.delete("n = 4")
    addresses = dataset.to_table(with_row_address=True)[ROW_ADDRESS].to_numpy()
    assert fragments_of(addresses).tolist() == [0, 0, 0, 1, 1, 2]
    assert places_of(addresses).tolist() == [0, 1, 2, 0, 2, 0]
    assert addresses_in(1, np.array([0, 2])).tolist() == addresses[3:5].tolist()


def test_places_come_sorted_and_once_by_fragment() -> None:
    addresses = np.concatenate([addresses_in(7, np.array([5, 0, 5])), addresses_in(2, np.array([1]))])
    assert {number: places.tolist() for number, places in by_fragment(addresses).items()} == {2: [1], 7: [0, 5]}
    assert by_fragment(np.empty(0, np.uint64)) == {}

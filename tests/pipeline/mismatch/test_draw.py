"""The pairs that an estimate is made from."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np

from pipeline import schema, table
from pipeline.mismatch import draw
from pipeline.mismatch.pairs import Pairs
from pipeline.table import ROW_ADDRESS
from tests.tables import write_table


def drawn(path: Path, **columns: list[str | None]) -> Pairs:
    """All pairs of a table, in the order of its rows."""
    count = len(next(iter(columns.values())))
    write_table(path, np.ones((count, 2)), np.ones((count, 2)), **columns)
    opened = table.open_table(table.parse(str(path)))
    keys, addresses = zip(
        *sorted(
            (int(key), address)
            for batch in opened.scan([schema.KEY], None, True)
            for key, address in zip(batch[schema.KEY].to_pylist(), batch[ROW_ADDRESS].to_pylist(), strict=True)
        ),
        strict=True,
    )
    assert keys == tuple(range(count))
    return draw.draw(opened, np.array(addresses, np.uint64), seed=0)


def test_captions_and_images_are_one_where_they_are_equal_and_only_there(tmp_path: Path) -> None:
    hashes: list[str | None] = ["f" * 64, None, None, "f" * 64, "e" * 64]
    pairs = drawn(tmp_path / "t", caption=["a", "a\0", "a", "", "a\0"], image_sha256=hashes)
    assert equal(pairs.captions) == [[0, 2], [1, 4], [3]]
    assert equal(pairs.images) == [[0, 3], [1, 2], [4]]  # equal vectors are one image where there is no hash


def equal(ids: np.ndarray) -> list[list[int]]:
    return sorted(np.flatnonzero(ids == number).tolist() for number in np.unique(ids))


def test_one_long_caption_makes_no_row_longer(tmp_path: Path) -> None:
    captions: list[str | None] = [f"caption {row}" for row in range(500)]
    captions[7] = "x" * 100_000
    tracemalloc.start()
    try:
        pairs = drawn(tmp_path / "t", caption=captions)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert len(np.unique(pairs.captions)) == 500

"""Reading one state of a table."""

from __future__ import annotations

from pathlib import Path

import lance
import numpy as np
import pytest

from pipeline import table
from pipeline.errors import TableError
from pipeline.table import ROW_ADDRESS
from tests.tables import in_fragments, write_table


def test_rows_are_found_by_their_addresses_where_rows_are_deleted_and_fragments_merged(tmp_path: Path) -> None:
    uri = in_fragments(write_table(tmp_path / "whole", np.eye(12), np.eye(12)), tmp_path / "t", rows=3)
    lance.dataset(uri.dataset).delete("key IN ('1', '11')")
    # the first fragment alone is written anew, under the highest number
    lance.dataset(uri.dataset).optimize.compact_files(target_rows_per_fragment=3, materialize_deletions_threshold=0.4)
    lance.dataset(uri.dataset).delete("key = '4'")
    opened = table.open_table(uri)
    rows = [
        (address, key)
        for batch in opened.scan(["key"], addresses=True)
        for address, key in zip(batch[ROW_ADDRESS].to_pylist(), batch["key"].to_pylist(), strict=True)
    ]
    shuffled = [rows[place] for place in np.random.default_rng(0).permutation(len(rows))]
    positions = opened.positions(np.array([address for address, _ in shuffled], np.uint64))
    assert opened.take(positions.tolist(), ["key"])["key"].to_pylist() == [key for _, key in shuffled]
    assert len(shuffled) == 9


def test_a_name_goes_with_its_only_user_and_stays_where_it_serves_several(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t", np.eye(3), np.eye(3))
    opened = table.open_table(table.parse(str(path)))
    opened.tag("once")
    opened.tag("twice")
    opened.tag("twice")
    for name in ("once", "twice", "never"):
        opened.untag(name, opened.version)
    assert (opened.has_tag("once"), opened.has_tag("twice"), opened.has_tag("never")) == (False, True, False)


def test_a_name_stands_for_one_state(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t", np.eye(3), np.eye(3))
    before = table.open_table(table.parse(str(path)))
    before.tag("mine")
    table.remove_rows(before.uri, "key = '1'")
    now = table.open_table(before.uri)
    with pytest.raises(TableError, match=rf"the tag 'mine' already names version {before.version}"):
        now.tag("mine")
    now.untag("mine", now.version)
    assert table.open_table(table.parse(f"{path}@mine")).version == before.version

"""The ledger of a table: what a scan finds of each source, in whatever order its rows lie."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline import schema, table
from pipeline.schema import Identity
from pipeline.table import Committer, LedgerEntry, ledger

IDENTITY = Identity("w" * 64, "hf-bicubic-aa.v1@32", None, "float32", 2, "a-model", 10.0, -10.0)


def rows_of(
    sources: list[str], numbers: list[int], stated: list[int | None], versions: list[str] | None = None
) -> pa.Table:
    columns = schema.table_schema(IDENTITY)
    values = {
        schema.SOURCE: sources,
        schema.SOURCE_VERSION: versions or [f"version of {source}" for source in sources],
        schema.SOURCE_ROW: numbers,
        schema.SOURCE_ROWS: stated,
    }
    texts = dict.fromkeys((schema.UID, schema.KEY, schema.STATUS), pa.repeat("x", len(sources)))
    missing = {field.name: pa.nulls(len(sources), field.type) for field in columns}
    return pa.table({name: (missing | texts | values)[name] for name in columns.names}, columns)


def test_rows_are_counted_however_sources_interleave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of every length, within a batch and across batches and fragments; one source states its rows in its last."""
    random = np.random.default_rng(5)
    left = {"a": 300, "b": 1, "c": 150, "d": 77}
    order: list[str] = []
    while any(left.values()):
        source = str(random.choice([name for name, rows in left.items() if rows]))
        run = min(left[source], int(random.geometric(0.2)))
        left[source] -= run
        order += [source] * run
    taken: dict[str, int] = defaultdict(int)
    numbers: list[int] = []
    stated: list[int | None] = []
    for source in order:
        numbers.append(taken[source])
        taken[source] += 1
        stated.append({"a": 300, "b": 1, "c": None, "d": 77 if taken["d"] == 77 else None}[source])

    uri = table.parse(str(tmp_path / "t"))
    rows = rows_of(order, numbers, stated)
    writer = Committer(uri, rows.schema, None)
    writer.commit([table.stage(uri, rows.slice(0, 200)), table.stage(uri, rows.slice(200))])
    monkeypatch.setattr(ledger, "ROWS_PER_BATCH", 64)

    opened = table.open_table(uri)
    assert table.read_ledger(opened) == {
        "a": LedgerEntry(frozenset(["version of a"]), 300, 300),
        "b": LedgerEntry(frozenset(["version of b"]), 1, 1),
        "c": LedgerEntry(frozenset(["version of c"]), 150, None),
        "d": LedgerEntry(frozenset(["version of d"]), 77, 77),
    }
    assert table.done_rows(opened, ["b", "d", "e"], but={}) == {"b": ((0, 1),), "d": ((0, 77),)}
    assert ledger.rows_of_sources(opened, ["d"])[schema.SOURCE_ROW].to_pylist() == list(range(77))


def test_sources_of_one_version_are_counted_apart(tmp_path: Path) -> None:
    """As files of one size and time are, or those of a store that knows no versions."""
    uri = table.parse(str(tmp_path / "t"))
    rows = rows_of(["a", "a", "b", "c", "c", "a"], [0, 1, 0, 0, 1, 2], [3, 3, 1, 4, 4, 3], ["1"] * 6)
    Committer(uri, rows.schema, None).commit([table.stage(uri, rows)])
    assert table.read_ledger(table.open_table(uri)) == {
        path: LedgerEntry(frozenset(["1"]), count, stated)
        for path, count, stated in (("a", 3, 3), ("b", 1, 1), ("c", 2, 4))
    }


@pytest.mark.parametrize("stated", [[5, 5, 3, 3, 3], [3, 3, 3, 5, 5]])
def test_a_source_in_two_versions_is_one_of_all_their_rows(tmp_path: Path, stated: list[int | None]) -> None:
    """And it is complete where it is by the version that is larger."""
    versions = [f"of {rows}" for rows in stated]
    uri = table.parse(str(tmp_path / "t"))
    rows = rows_of(["a"] * 5, [0, 3, 1, 2, 4], stated, versions)
    writer = Committer(uri, rows.schema, None)
    writer.commit([table.stage(uri, rows.slice(0, 4))])
    both = frozenset(["of 3", "of 5"])
    entry = table.read_ledger(table.open_table(uri))["a"]
    assert (entry, entry.is_complete) == (LedgerEntry(both, 4, 5), False)
    writer.commit([table.stage(uri, rows.slice(4))])
    entry = table.read_ledger(table.open_table(uri))["a"]
    assert (entry, entry.is_complete) == (LedgerEntry(both, 5, 5), True)

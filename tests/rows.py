"""Reading a table back, and comparing two runs by their rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

Rows = dict[tuple[str, int], dict[str, Any]]


def rows_of(
    table: str | Path, columns: Sequence[str] | None = None, storage_options: dict[str, str] | None = None
) -> Rows:
    """Every row of a table by (source, source_row), read with plain lance; fails if one is there twice."""
    import lance

    listed = (
        lance.dataset(f"{table}.lance", storage_options=storage_options)
        .to_table(columns=list(columns) if columns else None)
        .to_pylist()
    )
    rows = {(row["source"], row["source_row"]): row for row in listed}
    assert len(rows) == len(listed), "a row is there twice"
    return rows


def outcomes_of(table: str | Path) -> Counter[tuple[str, str | None]]:
    """Rows of a table by (status, reason), as a run counts those that it lands; none where there is no table."""
    import lance

    if not Path(f"{table}.lance", "_versions").exists():
        return Counter()
    found = lance.dataset(f"{table}.lance").to_table(columns=["status", "reason"])
    return Counter(zip(found["status"].to_pylist(), found["reason"].to_pylist(), strict=True))


def assert_same_rows(ours: Rows, theirs: Rows) -> None:
    """The same rows, with vectors at cosine 0.999 or better: in bfloat16, two runs may round in other places."""
    assert ours.keys() == theirs.keys()
    for key, row in ours.items():
        other = theirs[key]
        for name in ("uid", "key", "caption", "image_sha256", "status", "stage", "reason", "source_version"):
            assert row[name] == other[name], (key, name)
        for name in ("image_vector", "text_vector"):
            x, y = row[name], other[name]
            assert (x is None) == (y is None), (key, name)
            if x is not None:
                x, y = np.array(x, np.float32), np.array(y, np.float32)
                assert x @ y / np.linalg.norm(x) / np.linalg.norm(y) >= 0.999, (key, name)

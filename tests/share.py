"""How much of a slow suite runs: SIGLANE_CASES cases of each test function, the first so many."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

CASES = int(os.environ.get("SIGLANE_CASES", "1000"))


def keep_share(config: pytest.Config, items: list[pytest.Item], folder: Path) -> None:
    """Leaves out of the tests in a folder what is not in the share; every test function has a part in it."""
    seen = Counter[tuple[Path, str]]()
    left_out = set[pytest.Item]()
    for item in items:
        if folder in item.path.parents:
            kind = (item.path, item.name.partition("[")[0])
            seen[kind] += 1
            if seen[kind] > CASES:
                left_out.add(item)
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=list(left_out))

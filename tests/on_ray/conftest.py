"""A share of the tests on Ray runs where SIGLANE_CASES asks for one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.share import keep_share


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    keep_share(config, items, Path(__file__).parent)

"""The benchmarks, which no other test runs, use names that exist."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

import benchmarks

NAMES = sorted(path.stem for path in Path(*benchmarks.__path__).glob("*.py"))
PEERS = {"daft", "faiss", "openvino", "transformers", "usearch", "webdataset"}
"""that `make bench` installs"""


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_finds_what_it_imports(name: str) -> None:
    try:
        import_module(f"benchmarks.{name}")
    except ModuleNotFoundError as error:
        if error.name not in PEERS:
            raise
        pytest.skip(f"{error.name} is installed by `make bench`")

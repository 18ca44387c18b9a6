"""One real S3 server for those tests of this folder that ask for it; the environment names it while they run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.embedding import embed
from tests.rows import Rows, rows_of
from tests.s3 import put_pairs
from tests.services.radosgw import Radosgw, radosgw

FILES, ROWS = 12, 20


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Radosgw]:
    with radosgw(tmp_path_factory.mktemp("ceph")) as running:
        yield running


@pytest.fixture(scope="session")
def parquet(gateway: Radosgw, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder of a bucket with twelve Parquet files of twenty pairs."""
    return f"{put_pairs(gateway.s3, tmp_path_factory.mktemp('in'), FILES, ROWS)}/in"


@pytest.fixture(scope="session")
def undisturbed(parquet: str, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """Its rows, embedded into a table on disk."""
    table = tmp_path_factory.mktemp("undisturbed") / "t"
    embed(parquet, table, model)
    return rows_of(table)

"""One real S3 server for those tests of this folder that ask for it; the environment names it while they run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.embedding import embed
from tests.rows import Rows, rows_of
from tests.samples import jpeg, write_parquet
from tests.services.radosgw import Radosgw, radosgw

FILES, ROWS = 12, 20


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Radosgw]:
    with radosgw(tmp_path_factory.mktemp("ceph")) as running:
        yield running


@pytest.fixture(scope="session")
def parquet(gateway: Radosgw, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder of a bucket with twelve Parquet files of twenty pairs."""
    folder = tmp_path_factory.mktemp("in")
    for file in range(FILES):
        numbers = range(file * ROWS, file * ROWS + ROWS)
        write_parquet(folder / f"{file:02d}.parquet", list(map(jpeg, numbers)), [f"caption {n}" for n in numbers])
    return gateway.s3.put_folder(folder, f"{gateway.s3.bucket()}/in")


@pytest.fixture(scope="session")
def undisturbed(parquet: str, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """Its rows, embedded into a table on disk."""
    table = tmp_path_factory.mktemp("undisturbed") / "t"
    embed(parquet, table, model)
    return rows_of(table)

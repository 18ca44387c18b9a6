"""Real servers for those tests of this folder that ask for them; the environment names each while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.embedding import embed
from tests.rows import Rows, rows_of
from tests.s3 import put_pairs
from tests.services import azurite as azure
from tests.services.azurite import Azurite
from tests.services.radosgw import Radosgw, radosgw
from tests.services.store import Store

FILES, ROWS = 12, 20


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Radosgw]:
    with radosgw(tmp_path_factory.mktemp("ceph")) as running:
        yield running


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    if not azure.PROGRAM.exists():
        pytest.skip("no Azurite here; `make test-services` installs it where there is npm")
    with azure.azurite(tmp_path_factory.mktemp("azurite")) as running:
        yield running


@pytest.fixture(scope="session", params=["s3", "az"])
def store(request: pytest.FixtureRequest) -> Store:
    """Each of the servers."""
    if request.param == "az":
        return request.getfixturevalue("azurite")
    return request.getfixturevalue("gateway").s3


@pytest.fixture(scope="session")
def pairs(store: Store, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder of a bucket with twelve Parquet files of twenty pairs."""
    return f"{put_pairs(store, tmp_path_factory.mktemp('in'), FILES, ROWS)}/in"


@pytest.fixture(scope="session")
def local(pairs: str, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """Its rows, embedded into a table on disk."""
    return _embedded(pairs, model, tmp_path_factory)


@pytest.fixture(scope="session")
def parquet(gateway: Radosgw, tmp_path_factory: pytest.TempPathFactory) -> str:
    """As `pairs`, on the S3 server."""
    return f"{put_pairs(gateway.s3, tmp_path_factory.mktemp('in'), FILES, ROWS)}/in"


@pytest.fixture(scope="session")
def undisturbed(parquet: str, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """As `local`, of `parquet`."""
    return _embedded(parquet, model, tmp_path_factory)


def _embedded(uri: str, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Rows:
    table = tmp_path_factory.mktemp("undisturbed") / "t"
    embed(uri, table, model)
    return rows_of(table)

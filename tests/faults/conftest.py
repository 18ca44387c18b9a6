"""What the tests of faults share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import RayCluster
from tests.faults.share import CHURN_SECONDS
from tests.processes import Siglane
from tests.samples import jpeg, write_parquet
from tests.share import keep_share


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    keep_share(config, items, Path(__file__).parent)


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> list[str]:
    """What makes `siglane embed` run in the plain loop, on the cluster of the tests, or on one that it starts."""
    if request.param == "Ray":
        cluster: RayCluster = request.getfixturevalue("ray_cluster")
        return ["--address", cluster.address]
    return {"plain loop": ["--local"], "a cluster of its own": []}[request.param]


@pytest.fixture(scope="session")
def long_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs for a run that lasts about as long as machines come and go: files of 50, some of them broken."""
    folder = tmp_path_factory.mktemp("long")
    for file in range(3 * CHURN_SECONDS):
        numbers = range(file * 50, file * 50 + 50)
        images = [b"no image" if number % 41 == 7 else jpeg(number) for number in numbers]
        write_parquet(folder / f"{file:03d}.parquet", images, [f"caption {number % 977}" for number in numbers])
    return folder


@pytest.fixture(scope="session")
def long_undisturbed(long_dataset: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of the long dataset by the plain loop."""
    folder = tmp_path_factory.mktemp("long-undisturbed")
    Siglane(folder)("embed", "--input", long_dataset, "--table", "t", "--model", model, "--local")
    return folder / "t"

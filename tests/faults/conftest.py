"""What the tests of faults share."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import RayCluster
from tests.faults.share import CASES, CHURN_SECONDS
from tests.processes import Siglane
from tests.samples import jpeg, write_parquet

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what is not in the share that is asked for; every test function has a part in it."""
    seen = Counter[tuple[Path, str]]()
    left_out = set[pytest.Item]()
    for item in items:
        if HERE in item.path.parents:
            kind = (item.path, item.name.partition("[")[0])
            seen[kind] += 1
            if seen[kind] > CASES:
                left_out.add(item)
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=list(left_out))


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> list[str]:
    """What makes `siglane embed` run in the plain loop, on the cluster of the tests, or on one that it starts."""
    if request.param == "Ray":
        cluster: RayCluster = request.getfixturevalue("ray_cluster")
        return ["--address", cluster.address]
    return {"plain loop": ["--local"], "a cluster of its own": []}[request.param]


@pytest.fixture(scope="session")
def long_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs for a run that lasts about as long as machines come and go: so many files of 50, some of them broken."""
    folder = tmp_path_factory.mktemp("long")
    for file in range(CHURN_SECONDS):
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

"""What the tests of faults share."""

from __future__ import annotations

import pytest

from tests.conftest import RayCluster


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> list[str]:
    """What makes `siglane embed` run in the plain loop, on the cluster of the tests, or on one that it starts."""
    if request.param == "Ray":
        cluster: RayCluster = request.getfixturevalue("ray_cluster")
        return ["--address", cluster.address]
    return {"plain loop": ["--local"], "a cluster of its own": []}[request.param]

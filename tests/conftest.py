"""What tests of every layer build on: a small model, photos drawn from a seed, and one Ray cluster for all of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import lance
import pytest
import safetensors.torch
import torch

from tests import ray_clusters
from tests import s3 as servers
from tests.faulty_proxy import FaultyProxy, faulty_proxy
from tests.processes import ROOT, Siglane, no_process_is_left  # noqa: F401 - around every test
from tests.ray_clusters import RayCluster
from tests.s3 import S3, environment
from tests.samples import CAPTIONS, jpeg, write_parquet
from tests.tiny_model import make_model

SHARED_DATA = ROOT.parent / "shared" / "data"

# Models of a few thousand weights: a second thread only waits for the first, and on a busy machine for long.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)
os.environ["RAY_AUTH_MODE"] = "disabled"  # every cluster of the tests listens on loopback
os.environ["RAY_local_fs_capacity_threshold"] = "0.999"  # noqa: SIM112 - a disk that is nearly full is no line of theirs


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SigLIP of a few thousand weights, random from a fixed seed, with a tokenizer."""
    folder = tmp_path_factory.mktemp("model")
    make_model(folder, [f"{caption}, number {index}" for index, caption in enumerate(CAPTIONS * 20)])
    return folder


@pytest.fixture(scope="session")
def other_model(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same architecture and tokenizer with other weights."""
    folder = tmp_path_factory.mktemp("other") / "model"
    shutil.copytree(model, folder)
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    weights["logit_bias"] = weights["logit_bias"] - 1
    safetensors.torch.save_file(weights, folder / "model.safetensors")
    return folder


@pytest.fixture
def siglane(tmp_path: Path) -> Siglane:
    return Siglane(tmp_path)


@pytest.fixture
def fatal(tmp_path: Path) -> Siglane:
    """`siglane` that dies where `KILL_AT` says."""
    return Siglane(tmp_path, ROOT / "tests" / "faults" / "fatal")


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 pairs of 200 photos in twelve Parquet files, some of them broken."""
    folder = tmp_path_factory.mktemp("dataset")
    for file in range(12):
        numbers = range(file * 50, file * 50 + 50)
        images = [b"no image" if number % 41 == 7 else jpeg(number // 3) for number in numbers]
        captions = [None if number % 53 == 9 else f"caption {number}" for number in numbers]
        write_parquet(folder / f"{file:02d}.parquet", images, captions, row_group_size=20)
    return folder


@pytest.fixture(scope="session")
def undisturbed(dataset: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A table of the dataset by the plain loop. Many tests share it: one that changes it works on a copy."""
    folder = tmp_path_factory.mktemp("undisturbed")
    Siglane(folder)("embed", "--input", dataset, "--table", "t", "--model", model, "--local")
    version = lance.dataset(folder / "t.lance").latest_version
    yield folder / "t"
    assert lance.dataset(folder / "t.lance").latest_version == version, "a test changed the table that others use"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    """A server that lives in this process; the environment names it."""
    with servers.moto() as server:
        yield server


@pytest.fixture
def proxy(s3: S3) -> Iterator[FaultyProxy]:
    """What the environment names as the store in its place, and what can be made to fail."""
    with faulty_proxy(s3.port) as proxy, environment(proxy.url):
        yield proxy


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[RayCluster]:
    """One Ray cluster of two CPUs for all tests, with its job server."""
    with ray_clusters.started("--num-cpus=2", dashboard=True) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def ray_address(ray_cluster: RayCluster) -> str:
    return ray_cluster.address

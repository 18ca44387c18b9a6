"""Clusters as strangers have them: one CPU, no CPU, GPUs on every CPU, a head that dies, tokens, wrong addresses."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import ray

from pipeline.errors import SiglaneError, UsageError
from pipeline.on_ray import addresses, cluster
from pipeline.on_ray.options import RayOptions
from tests.processes import ROOT, Siglane, kill_process_group, start_python, wait_for, wait_for_rows
from tests.ray_clusters import started
from tests.rows import assert_same_rows, rows_of
from tests.samples import write_photos


def test_a_cluster_of_one_cpu_embeds(
    siglane: Siglane, tmp_path: Path, dataset: Path, undisturbed: Path, model: Path
) -> None:
    with started("--num-cpus=1") as one:
        run = ("embed", "--input", dataset, "--table", "t", "--model", model, "--address", one.address)
        assert siglane(*run, "--stall-timeout", 100)["read"] == 600
    assert_same_rows(rows_of(tmp_path / "t"), rows_of(undisturbed))


@pytest.mark.parametrize(("cpus", "on_each", "reserved"), [(2, 1, 0), (7, 3, 1), (6, 3, 0)])
def test_encoders_on_every_gpu_leave_a_cpu_to_the_readers(cpus: int, on_each: int, reserved: int) -> None:
    """On two GPUs, one encoder or several on each."""
    with started(f"--num-cpus={cpus}", "--num-gpus=2") as gpus:
        with cluster.connect_encoders(RayOptions(address=gpus.address, encoders_per_gpu=on_each)) as encoders:
            assert (encoders.count, encoders.device, encoders.num_cpus) == (2 * on_each, "cuda", reserved)

            @ray.remote(num_cpus=encoders.num_cpus, num_gpus=encoders.num_gpus)
            class Encoder:
                def gpu(self) -> str:
                    (gpu,) = ray.get_gpu_ids()
                    return str(gpu)

            held = [Encoder.remote() for _ in range(encoders.count)]  # type: ignore[attr-defined]
            found = ray.get([encoder.gpu.remote() for encoder in held], timeout=60)
            assert sorted(found) == ["0"] * on_each + ["1"] * on_each
            reader = ray.remote(num_cpus=cluster.CPUS_PER_READER)(lambda: "read")
            assert ray.get(reader.remote(), timeout=60) == "read"
        with (
            pytest.raises(UsageError, match="the cluster has 2 GPUs; give --num-gpus 2 or fewer"),
            cluster.connect_encoders(RayOptions(address=gpus.address, num_gpus=3)),
        ):
            pass


def test_encoders_that_share_a_gpu_need_one() -> None:
    with pytest.raises(ValueError, match="--encoders-per-gpu: with --num-gpus 0 the run uses no GPU"):
        RayOptions(num_gpus=0, encoders_per_gpu=2)
    with (
        started("--num-cpus=2", "--num-gpus=0") as none,
        pytest.raises(UsageError, match="encoders_per_gpu 2: the cluster has no GPUs"),
        cluster.connect_encoders(RayOptions(address=none.address, encoders_per_gpu=2)),
    ):
        pass


@pytest.fixture
def growing() -> Iterator[Any]:
    """A head without CPUs, to which nodes can be added."""
    from ray.cluster_utils import Cluster

    started = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, "object_store_memory": 10**8}
    )
    try:
        yield started
    finally:
        started.shutdown()


def test_gpus_on_nodes_without_cpus_get_their_encoders(growing: Any) -> None:
    growing.add_node(num_cpus=2, object_store_memory=10**8)
    growing.add_node(num_cpus=0, num_gpus=1, object_store_memory=10**8)
    growing.wait_for_nodes()
    with cluster.connect_encoders(RayOptions(address=growing.address)) as encoders:
        there = ray.remote(num_cpus=encoders.num_cpus, num_gpus=encoders.num_gpus)(lambda: "there")
        assert ray.get(there.remote(), timeout=60) == "there"


def test_a_run_that_may_waits_for_nodes_and_says_so(
    siglane: Siglane, tmp_path: Path, model: Path, growing: Any
) -> None:
    write_photos(tmp_path / "in", 3)
    run = ("embed", "--input", "in", "--table", "t", "--model", model, "--precision", "float32", "--num-gpus", 0)
    run += ("--address", growing.address)
    assert "no CPU for tasks that read and write; add a node" in siglane.fails(*run, code=2)
    process = siglane.start(*run, "--wait-for-nodes", "--stall-timeout", 19)
    assert process.stderr is not None
    said = ""
    while "waiting for machines for" not in said:
        said += (line := process.stderr.readline())
        assert line, f"it ended before it had waited: {said}"
    growing.add_node(num_cpus=2, object_store_memory=2 * 10**8)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert len(rows_of(tmp_path / "t")) == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hide a folder from a process")
@pytest.mark.parametrize("hidden", ["in", "out", "model"])
def test_a_folder_that_a_node_does_not_see_is_named(
    hidden: str, siglane: Siglane, tmp_path: Path, model: Path, growing: Any
) -> None:
    write_photos(tmp_path / "in", 3)
    shutil.copytree(model, tmp_path / "model")
    (tmp_path / "out").mkdir()
    growing.add_node(num_cpus=1, object_store_memory=10**8)
    with node_that_sees_no(tmp_path / hidden, growing.address):
        run = ("embed", "--input", "in", "--table", "out/t", "--model", tmp_path / "model")
        line = siglane.fails(*run, "--address", growing.address, code=2)
    what = {"in": "input photo0000.jpg", "out": f"table {tmp_path / 'out'}", "model": f"model {tmp_path / 'model'}"}
    assert f"siglane embed: {what[hidden]}: the node " in line
    assert "does not see it, though this one does; put it on a file system" in line
    assert not list((tmp_path / "out").iterdir())


@contextmanager
def node_that_sees_no(folder: Path, address: str) -> Iterator[None]:
    """A second node of the cluster, which has an empty folder in its place."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", f"--address={address}", "--num-cpus=1"]
    inside = f'mount -t tmpfs none "{folder}" && exec "$0" "$@" --object-store-memory=100000000'
    process = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", inside, *command], start_new_session=True, stdout=subprocess.DEVNULL
    )
    try:
        code = "import sys, ray; ray.init(sys.argv[1], logging_level='ERROR'); assert len(ray.nodes()) > 2"
        look = [sys.executable, "-c", code, address]
        wait_for(lambda: subprocess.run(look, check=False, capture_output=True).returncode == 0, "no second node")
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("package", ["simplejpeg", "lance", "siglip_core"])
def test_a_package_that_a_node_lacks_is_named(package: str, siglane: Siglane, tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 1)
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(
        "import sys\n"
        "class Lacks:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] == {package!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Lacks())\n"
    )
    with started("--num-cpus=2", environment={"PYTHONPATH": f"{tmp_path / 'hook'}{os.pathsep}{ROOT}"}) as cluster:
        run = ("embed", "--input", "in", "--table", "t", "--model", model, "--address", cluster.address)
        line = siglane.fails(*run, code=1)
    assert f"it has no package {package}; install the same packages on every node" in line


def test_a_cluster_without_cpus_or_gpus_is_refused_at_once(siglane: Siglane, tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 1)
    run = ("embed", "--input", "in", "--table", "t", "--model", model)
    with started("--num-cpus=0") as none:
        line = siglane.fails(*run, "--address", none.address, code=2)
        assert "the cluster has no CPU for tasks that read and write; add a node with CPUs" in line
        line = siglane.fails(*run, "--address", none.address, "--num-gpus", 1, code=2)
        assert "the cluster has no GPUs; give --num-gpus 0 to encode on CPUs" in line


def test_a_head_that_dies_is_named_within_half_a_minute(
    siglane: Siglane, tmp_path: Path, dataset: Path, undisturbed: Path, model: Path
) -> None:
    run = ("embed", "--input", dataset, "--table", "t", "--model", model, "--commit-seconds", 0, "--batch-size", 4)
    with started("--num-cpus=2") as dying:
        process = siglane.start(*run, "--address", dying.address)
        try:
            wait_for_rows(process, tmp_path / "t.lance")
            dying.kill()
            killed = time.monotonic()
            said = b""
            assert process.stderr is not None
            os.set_blocking(process.stderr.fileno(), False)

            def is_said() -> bool:
                nonlocal said
                said += process.stderr.buffer.read() or b""  # type: ignore[union-attr]
                return b"has not answered for" in said

            wait_for(is_said, "no line of ours", seconds=40)
            assert time.monotonic() - killed < 30
        finally:
            kill_process_group(process)
    siglane(*run, "--local")
    assert_same_rows(rows_of(tmp_path / "t"), rows_of(undisturbed))


@pytest.mark.parametrize(
    ("mode", "token", "said"),
    [
        ("disabled", None, "none was sent: set RAY_AUTH_MODE=token, which is disabled here, and copy"),
        (None, None, "none was sent: copy ~/.ray/auth_token from its head, or set RAY_AUTH_TOKEN"),
        (None, "b" * 32, "the cluster refuses the token from RAY_AUTH_TOKEN; give the token of its head"),
    ],
)
def test_a_token_that_is_missing_or_wrong_is_named_as_that(
    mode: str | None, token: str | None, said: str, siglane: Siglane, tmp_path: Path, model: Path
) -> None:
    write_photos(tmp_path / "in", 1)
    home = tmp_path / "home"
    home.mkdir()
    with started("--num-cpus=1", environment={"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 32}) as closed:
        run = ("embed", "--input", "in", "--table", "t", "--model", model, "--address", closed.address)
        environment = {"RAY_AUTH_MODE": mode, "RAY_AUTH_TOKEN": token, "HOME": str(home)}
        process = siglane.start(*run, environment=environment)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    assert "Traceback" not in err
    assert f"siglane embed: Ray at {closed.address}: the cluster" in err.strip().splitlines()[-1]
    assert said in err.strip().splitlines()[-1]
    assert "gcs_client" not in err


def test_a_cluster_without_a_token_needs_none(siglane: Siglane, tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 1)
    home = tmp_path / "home"
    home.mkdir()
    with started("--num-cpus=2", environment={"RAY_AUTH_MODE": "disabled"}) as cluster:
        run = ("embed", "--input", "in", "--table", "t", "--model", model, "--address", cluster.address)
        environment = {"RAY_AUTH_MODE": None, "RAY_AUTH_TOKEN": None, "HOME": str(home)}
        process = siglane.start(*run, environment=environment)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert not list(home.rglob("auth_token"))


@pytest.mark.parametrize(
    ("address", "code", "said"),
    [
        ("auto", 1, "Ray at auto: no cluster runs on this machine; start one"),
        ("ray://127.0.0.1:9", 1, "Ray at ray://127.0.0.1:9: "),
        (
            "http://127.0.0.1:8265",
            2,
            "this is the address of a dashboard, for `siglane submit` and `ray job submit`; give",
        ),
    ],
)
def test_an_address_where_nothing_is_is_named_within_seconds(
    address: str, code: int, said: str, siglane: Siglane, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photos(tmp_path / "in", 1)
    run = ("embed", "--input", "in", "--table", "t", "--model", model)
    if address == "auto":
        # a cluster of other tests may run
        monkeypatch.setattr(addresses.services, "find_gcs_addresses", cache(lambda: set[str]()))
        with pytest.raises(SiglaneError, match="Ray at auto: no cluster runs on this machine"), cluster.connect("auto"):
            pass
        return
    before = time.monotonic()
    assert said in siglane.fails(*run, "--address", address, code=code)
    assert time.monotonic() - before < 60  # most of it is Python's start on a busy machine


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv of util-linux makes root an ordinary user here")
def test_a_home_that_cannot_be_written_is_named(tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 1)
    home = tmp_path / "home"
    home.mkdir(mode=0o555)
    run = [sys.executable, "-m", "jobs.cli", "embed", "--input", "in", "--table", "t", "--model", str(model)]
    as_ordinary_user = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--inh-caps", "-all"]
    variables = {name: value for name, value in os.environ.items() if name != "RAY_AUTH_MODE"}
    done = subprocess.run(
        [*as_ordinary_user, *run] if os.geteuid() == 0 else run,
        cwd=tmp_path,
        env=variables | {"HOME": str(home), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    assert "set HOME to a folder that can be written, or RAY_AUTH_MODE=disabled" in done.stderr.splitlines()[-1]


HOLD = """
import sys, time, numpy, ray
ray.init(sys.argv[1], logging_level="ERROR", log_to_driver=False)
held = []
with open(sys.argv[2], "w") as told:
    for number in range(160):
        held.append(ray.get(ray.put(numpy.random.default_rng(number).integers(0, 255, 500_000, dtype="uint8"))))
        print(number, file=told, flush=True)
time.sleep(1000)
"""
"""fills a store of 80 MB, and keeps its objects in use"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_object_store_and_a_full_disk_are_one_line_without_a_traceback(
    siglane: Siglane, tmp_path: Path, model: Path
) -> None:
    write_photos(tmp_path / "in", 3)
    (disk := tmp_path / "disk").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", disk], check=True)
    try:
        (disk / "full").write_bytes(bytes(4 << 20 - 1))
        small = ("--num-cpus=2", "--object-store-memory=80000000", f"--object-spilling-directory={disk}")
        with started(*small, environment={"RAY_local_fs_capacity_threshold": "0.5"}) as full:
            start_python(HOLD, full.address, told := tmp_path / "told")
            wait_for(lambda: told.exists() and told.read_text().count("\n") > 150, "the store is not full", seconds=120)
            run = ("embed", "--input", "in", "--table", "t", "--model", model, "--address", full.address)
            process = siglane.start(*run, "--precision", "float32")
            _, err = process.communicate(timeout=200)
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)
    assert process.returncode == 1, err
    assert "siglane embed: Ray's object store is full on the node " in err.splitlines()[-1]
    assert "and so is the disk that it spills to; free space below" in err.splitlines()[-1]
    assert "Traceback" not in err

"""The command lines of configs/: those of KubeRay's manifests and of the Slurm script, run on this machine."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.job_submission import JobStatus, JobSubmissionClient

from tests.conftest import RayCluster
from tests.processes import ROOT, processes_of_session, start, wait_for
from tests.rows import assert_same_rows, rows_of
from tests.samples import write_photos

SLURM = ROOT / "configs" / "slurm" / "embed.sbatch"


def test_the_entrypoint_of_a_rayjob_embeds(
    tmp_path: Path, dataset: Path, undisturbed: Path, model: Path, ray_cluster: RayCluster
) -> None:
    spec = yaml.safe_load((ROOT / "configs" / "kuberay" / "rayjob.yaml").read_text("utf-8"))["spec"]
    words = shlex.split(spec["entrypoint"])
    here = {"--input": dataset, "--table": tmp_path / "t", "--model": model, "--num-gpus": 0}
    for option, value in here.items():
        words[words.index(option) + 1] = str(value)
    environment = yaml.safe_load(spec["runtimeEnvYAML"])
    environment["env_vars"]["PYTHONPATH"] = str(ROOT)  # in the image, Siglane is installed
    client = JobSubmissionClient(ray_cluster.jobs)
    job = client.submit_job(entrypoint=shlex.join(words), runtime_env=environment)
    wait_for(lambda: client.get_job_status(job).is_terminal(), "the job does not end", seconds=200)
    assert client.get_job_status(job) is JobStatus.SUCCEEDED, client.get_job_logs(job)
    assert_same_rows(rows_of(tmp_path / "t"), rows_of(undisturbed))


@pytest.fixture
def allocation(tmp_path: Path) -> dict[str, str]:
    """The environment of an allocation of two nodes, both of which are this machine, with Slurm's commands."""
    commands = tmp_path / "bin"
    commands.mkdir()
    scripts = {
        "scontrol": 'test "$*" = "show hostnames node[1-2]" && printf "127.0.0.1\\nlocalhost\\n"',
        "srun": 'while [ "${1#--}" != "$1" ]; do shift; done; exec "$@"',
        "ray": f'exec {sys.executable} -m ray.scripts.scripts "$@"',
        "siglane": f'exec {sys.executable} -m jobs.cli "$@"',
    }
    for name, script in scripts.items():
        (commands / name).write_text(f"#!/bin/sh\n{script}\n")
        (commands / name).chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")},
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(home),
        "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_CPUS_PER_TASK": "1",
    }


def test_the_slurm_script_starts_ray_and_embeds(tmp_path: Path, model: Path, allocation: dict[str, Any]) -> None:
    write_photos(tmp_path / "in", 5)
    run = ("embed", "--input", "in", "--table", "t", "--model", model)
    process = start("bash", SLURM, *run, folder=tmp_path, environment=allocation)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert "read 5 = embedded 5" in err
    assert len(rows_of(tmp_path / "t")) == 5
    wait_for(lambda: not processes_of_session(process.pid), "processes of Ray are left")


def test_a_wrong_option_in_the_slurm_script_is_its_exit_code(tmp_path: Path, allocation: dict[str, Any]) -> None:
    process = start("bash", SLURM, "embed", "--inptu", "in", folder=tmp_path, environment=allocation)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2, err
    assert "unknown option '--inptu'" in err

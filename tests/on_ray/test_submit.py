"""`siglane submit`: a command as a job of a cluster, followed, stopped, killed and submitted again."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from ray.job_submission import JobDetails, JobSubmissionClient

from tests.conftest import RayCluster
from tests.processes import Siglane, wait_for_rows
from tests.ray_clusters import started
from tests.rows import assert_same_rows, rows_of
from tests.samples import write_photos

SECRET = "a-secret-that-nobody-prints"


def _job(cluster: RayCluster, text: str) -> JobDetails | None:
    """The job whose command line holds a text."""
    jobs = JobSubmissionClient(cluster.jobs).list_jobs()
    return next((job for job in jobs if text in job.entrypoint and job.submission_id), None)


def _drivers(table: Path) -> list[int]:
    """Processes that embed into a table."""
    told = [*(b"jobs.embed", str(table).encode())]
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except (ProcessLookupError, FileNotFoundError):
                continue
            if all(word in words for word in told):
                found.append(int(entry.name))
    return found


def _submit(siglane: Siglane, cluster: RayCluster, *given: object, code: int = 0) -> dict[str, Any]:
    """Runs `siglane submit` with these options and words to its end; gives its summary."""
    process = siglane.start("submit", "--address", cluster.jobs, "--json", *given)
    out, err = process.communicate(timeout=240)
    assert process.returncode == code, err
    summary: dict[str, Any] = json.loads(out)
    return summary


def test_it_follows_a_job_and_passes_variables_by_name(
    siglane: Siglane, tmp_path: Path, dataset: Path, undisturbed: Path, model: Path, ray_cluster: RayCluster
) -> None:
    (tmp_path / "in").symlink_to(dataset)
    (tmp_path / "run.yaml").write_text("batch_size: 32\n")
    words = ("--input", "in", "--table", "t", "--model", model, "--config", "run.yaml", "--json")
    process = siglane.start(
        *("submit", "--address", ray_cluster.jobs, "--env", "A_SECRET", "--", "embed", *words),
        environment={"A_SECRET": SECRET},
    )
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert out == ""
    assert '"read": 600' in err
    assert "succeeded" in err.splitlines()[-1]
    assert_same_rows(rows_of(tmp_path / "t"), rows_of(undisturbed))
    job = _job(ray_cluster, str(tmp_path))
    assert job is not None
    assert job.runtime_env is not None
    assert job.runtime_env["env_vars"]["A_SECRET"] == SECRET
    logs = JobSubmissionClient(ray_cluster.jobs).get_job_logs(str(job.submission_id))
    assert SECRET not in err + job.entrypoint + str(job.metadata) + str(job.message) + logs


def test_a_killed_driver_and_the_same_command_end_in_the_same_rows(
    siglane: Siglane, tmp_path: Path, dataset: Path, undisturbed: Path, model: Path, ray_cluster: RayCluster
) -> None:
    table = tmp_path / "t"
    run = ("--input", dataset, "--table", table, "--model", model, "--commit-seconds", 0, "--batch-size", 4)
    process = siglane.start("submit", "--address", ray_cluster.jobs, "--", "embed", *run)
    wait_for_rows(process, tmp_path / "t.lance")
    (driver,) = _drivers(table)
    os.kill(driver, signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert "was ended by signal 9; finished work is kept, submit the same command again" in err.splitlines()[-1]
    assert 0 < len(rows_of(table, ["source", "source_row"])) < 600
    _submit(siglane, ray_cluster, "--", "embed", *run)
    assert_same_rows(rows_of(table), rows_of(undisturbed))


def test_ctrl_c_leaves_the_job_and_stop_commits_what_is_finished(
    siglane: Siglane, tmp_path: Path, model: Path, ray_cluster: RayCluster
) -> None:
    write_photos(tmp_path / "in" / "photos", 1)
    (tmp_path / "in" / "a.jsonl").write_text('{"url": "photos/photo0000.jpg", "caption": "a photo"}\n')
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        (tmp_path / "in" / "b.jsonl").write_text(f'{{"url": "{address}/x.jpg", "caption": "never comes"}}\n')
        words = ("embed", "--input", "in", "--input-format", "manifest", "--table", tmp_path / "t", "--model", model)
        words += ("--commit-seconds", 0, "--batch-size", 1, "--allow-uri", address)
        process = siglane.start("submit", "--address", ray_cluster.jobs, "--", *words)
        wait_for_rows(process, tmp_path / "t.lance")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
        job = _job(ray_cluster, str(tmp_path))
        assert job is not None
        again = f"siglane submit --address {ray_cluster.jobs}"
        follow = f"follow it with `{again} --logs {job.submission_id}`"
        assert f"the job goes on; {follow}; stop it with `{again} --stop" in err.splitlines()[-1]

        assert _submit(siglane, ray_cluster, "--status", job.submission_id)["status"] == "RUNNING"
        assert _submit(siglane, ray_cluster, "--stop", job.submission_id, code=130)["status"] == "STOPPED"
        assert not _drivers(tmp_path / "t")
        followed = siglane.start("submit", "--address", ray_cluster.jobs, "--logs", job.submission_id)
        _, err = followed.communicate(timeout=60)
        assert followed.returncode == 130
        assert "siglane embed: stopped; finished work is kept" in err, err
    assert set(rows_of(tmp_path / "t", ["source", "source_row"])) == {("a.jsonl", 0)}


def test_the_exit_code_is_that_of_the_job(
    siglane: Siglane, tmp_path: Path, model: Path, ray_cluster: RayCluster
) -> None:
    write_photos(tmp_path / "in", 3)
    (tmp_path / "in" / "broken.jpg").write_bytes(b"no image")
    (tmp_path / "in" / "broken.txt").write_text("a caption")
    submit = ("submit", "--address", ray_cluster.jobs, "--", "embed", "--model", model, "--local")
    for words, code in ((("--input", "nowhere"), 1), (("--input", "in"), 3), (("--max-hours", "1e-9"), 4)):
        given = words if "--input" in words else (*words, "--input", "in", "--retry-rejected")
        process = siglane.start(*submit, "--table", f"t{code % 4}", *given)
        _, err = process.communicate(timeout=120)
        assert process.returncode == code, err
        assert f"the job ended with exit code {code}" in err.splitlines()[-1]


def test_detached_it_ends_when_the_job_is_submitted(
    siglane: Siglane, tmp_path: Path, model: Path, ray_cluster: RayCluster
) -> None:
    write_photos(tmp_path / "in", 3)
    words = ("embed", "--input", "in", "--table", "t", "--model", model)
    job = _submit(siglane, ray_cluster, "--detach", "--", *words)["job"]
    done = _submit(siglane, ray_cluster, "--logs", job)
    assert (done["job"], done["status"], done["exit_code"]) == (job, "SUCCEEDED", 0)
    assert len(rows_of(tmp_path / "t")) == 3


def test_the_address_of_the_cluster_itself_will_do(
    siglane: Siglane, tmp_path: Path, model: Path, ray_cluster: RayCluster
) -> None:
    write_photos(tmp_path / "in", 1)
    words = ("--", "embed", "--input", "in", "--table", "t", "--model", model, "--local")
    host_and_port = ray_cluster.jobs.removeprefix("http://")
    for address in (ray_cluster.address, host_and_port):
        process = siglane.start("submit", "--address", address, "--detach", *words)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert f"to {ray_cluster.jobs}; follow it with" in err
    line = siglane.fails(*words[1:-1], "--address", host_and_port, code=2)
    assert f"Ray at {host_and_port}: this is the address of a dashboard" in line


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "write the command to run after --"),
        (["embed", "--input", "in"], "write -- before the command: `siglane submit -- embed …`"),
        (["--", "embde"], "'embde' is no command to submit"),
        (["--", "submit", "--", "embed"], "'submit' is no command to submit"),
        (["--", "embed", "--inptu", "in"], "siglane embed: command line: unknown option '--inptu'"),
        (["--env", "NO_SUCH", "--", "models"], "--env NO_SUCH: this environment has no such variable"),
        (["--env", "A=secret", "--", "models"], "--env takes the name of a variable alone"),
        (["--stop", "a", "--status", "a"], "--status and --stop exclude each other"),
        (["--logs", "a", "--", "models"], "--logs takes no command"),
        (["--address", "local", "--", "models"], "Ray at local: a job is submitted to the address of a dashboard"),
        (["--address", "ray://a:10001", "--", "models"], "give it as http://HOST:8265"),
    ],
)
def test_what_is_wrong_is_said_before_a_cluster_is_asked(siglane: Siglane, given: list[str], said: str) -> None:
    line = siglane.fails("submit", *given, code=2)
    assert said in line
    assert "secret" not in line


def test_no_job_and_no_server_are_one_line(siglane: Siglane, ray_cluster: RayCluster) -> None:
    line = siglane.fails("submit", "--address", ray_cluster.jobs, "--status", "nobody", code=1)
    assert "no job has the id nobody" in line
    line = siglane.fails("submit", "--address", "http://127.0.0.1:9", "--status", "a", code=1)
    assert "Ray at http://127.0.0.1:9: " in line
    assert "refused; check --address and RAY_ADDRESS" in line


def test_a_token_opens_the_job_server_and_another_one_does_not(siglane: Siglane, tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 2)
    run = ("--", "embed", "--input", "in", "--table", "t", "--model", model)
    home = tmp_path / "home"
    (home / ".ray").mkdir(parents=True)
    unset = {"RAY_AUTH_MODE": None, "RAY_AUTH_TOKEN": None, "HOME": str(home)}
    with started(
        *("--num-cpus=2",), dashboard=True, environment={"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 32}
    ) as closed:
        for address in (closed.jobs, closed.address):

            def fails(token: str | None, address: str = address) -> str:
                submit = siglane.start(
                    *("submit", "--address", address, *run), environment={**unset, "RAY_AUTH_TOKEN": token}
                )
                out, err = submit.communicate(timeout=60)
                assert (submit.returncode, out) == (1, ""), err
                (line,) = err.strip().splitlines()
                return line

            assert "the cluster wants a token, and none was sent: copy ~/.ray/auth_token from its head" in fails(None)
            assert "the cluster refuses the token from RAY_AUTH_TOKEN; give the token of its head" in fails("b" * 32)
        (home / ".ray" / "auth_token").write_text("a" * 32)
        process = siglane.start("submit", "--address", closed.jobs, *run, environment=unset)
        _, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        assert "a" * 32 not in err
    assert len(rows_of(tmp_path / "t")) == 2


def test_a_head_that_dies_while_its_job_is_followed_is_named_within_half_a_minute(
    siglane: Siglane, tmp_path: Path, dataset: Path, undisturbed: Path, model: Path
) -> None:
    run = ("--input", dataset, "--table", tmp_path / "t", "--model", model, "--commit-seconds", 0, "--batch-size", 4)
    with started("--num-cpus=2", dashboard=True) as dying:
        process = siglane.start("submit", "--address", dying.jobs, "--", "embed", *run)
        wait_for_rows(process, tmp_path / "t.lance")
        drivers = _drivers(tmp_path / "t")
        dying.kill()
        killed = time.monotonic()
        _, err = process.communicate(timeout=60)
        for driver in drivers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(driver, signal.SIGKILL)
    assert time.monotonic() - killed < 30
    assert process.returncode == 1
    assert f"Ray at {dying.jobs}: the cluster's job server does not answer; run the same" in err.splitlines()[-1]
    siglane("embed", *run, "--local")
    assert_same_rows(rows_of(tmp_path / "t"), rows_of(undisturbed))


def test_a_job_runs_on_its_own_cluster_where_another_one_was_started_later(
    siglane: Siglane, tmp_path: Path, model: Path
) -> None:
    """Ray tells a job the address of the cluster that was started last. Only the job's own has four CPUs."""
    write_photos(tmp_path / "in", 3)
    embed = ("embed", "--input", tmp_path / "in", "--table", tmp_path / "t", "--model", model, "--precision", "float32")
    with started("--num-cpus=4", dashboard=True) as own, started("--num-cpus=2") as later:
        process = siglane.start("submit", "--address", own.jobs, "--", *embed)
        _, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        ports = [each.address.rpartition(":")[2] for each in (own, later)]
        assert re.search(r"runs on the cluster at \S+:{}, not on the one at \S+:{},".format(*ports), err)
        assert "2 encoders on cpu" in err
        process = siglane.start("submit", "--", "models", environment={"RAY_ADDRESS": None})
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "clusters run on this machine; give one as --address: " in err

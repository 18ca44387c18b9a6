"""The main job on a real Ray cluster: the same rows as the plain loop, whatever dies."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.conftest import RayCluster
from tests.faulty_proxy import faulty_proxy
from tests.processes import (
    ROOT,
    Siglane,
    kill_after_rows,
    kill_process_group,
    processes_of_session,
    wait_for,
    wait_for_rows,
)
from tests.rows import assert_same_rows, rows_of
from tests.samples import jpeg, large_png, write_parquet, write_photos


def test_ray_and_the_plain_loop_give_the_same_rows(
    siglane: Siglane, tmp_path: Path, dataset: Path, undisturbed: Path, model: Path, ray_address: str
) -> None:
    run = ["embed", "--input", dataset, "--table", "t", "--model", model, "--address", ray_address]
    summary = siglane(*run)
    rejected = sum(row["status"] == "rejected" for row in rows_of(undisturbed).values())
    assert rejected > 10
    assert summary["read"] == summary["success"] + summary["rejected"] == 600
    assert summary["rejected"] == rejected
    assert_same_rows(rows_of(tmp_path / "t"), rows_of(undisturbed))
    again = siglane(*run)
    assert (again["read"], again["skipped"]) == (0, 600)


def test_statistics_of_images_are_those_of_the_plain_loop(
    siglane: Siglane, tmp_path: Path, dataset: Path, model: Path, ray_address: str
) -> None:
    """Also where a table without them gets their columns: its rows keep nulls, and others are beside them."""
    (tmp_path / "in").mkdir()
    for name in ("00.parquet", "01.parquet"):
        shutil.copy(dataset / name, tmp_path / "in")
    run = ["embed", "--input", "in", "--model", model]
    siglane(*run, "--table", "plain", "--local", "--image-statistics")
    expected = rows_of(tmp_path / "plain")
    shutil.move(tmp_path / "in" / "01.parquet", tmp_path)
    siglane(*run, "--table", "t", "--address", ray_address)
    shutil.move(tmp_path / "01.parquet", tmp_path / "in")
    siglane(*run, "--table", "t", "--address", ray_address, "--image-statistics")
    rows = rows_of(tmp_path / "t")
    for place, row in rows.items():
        has_none = place[0] == "00.parquet"
        assert row["image_entropy"] == (None if has_none else expected[place]["image_entropy"]), place
    assert_same_rows(rows, expected)


def test_ray_replaces_changed_sources_and_tries_rejected_rows_again(
    siglane: Siglane, tmp_path: Path, dataset: Path, undisturbed: Path, model: Path, ray_address: str
) -> None:
    shutil.copytree(dataset, tmp_path / "in")
    shutil.copytree(f"{undisturbed}.lance", tmp_path / "t.lance")
    for name, rows in (("03.parquet", 61), ("07.parquet", 20)):
        images = [jpeg(number + 400) for number in range(rows)]
        write_parquet(tmp_path / "in" / name, images, [f"new caption {number}" for number in range(rows)])
    rejected = [
        place
        for place, row in rows_of(tmp_path / "t").items()
        if row["status"] == "rejected" and place[0] not in ("03.parquet", "07.parquet")
    ]
    run = ["embed", "--input", "in", "--model", model]
    again = ["--replace-changed", "--retry-rejected", "--batch-size", "4"]
    summary = siglane(*run, "--table", "t", "--address", ray_address, *again, "--max-reject-fraction", "1")
    assert (summary["read"], summary["rejected"]) == (81 + len(rejected), len(rejected))
    siglane(*run, "--table", "fresh", "--local")
    assert_same_rows(rows_of(tmp_path / "t"), rows_of(tmp_path / "fresh"))


def test_a_killed_driver_and_the_same_command_end_in_the_same_rows(
    siglane: Siglane, tmp_path: Path, dataset: Path, undisturbed: Path, model: Path, ray_address: str
) -> None:
    run = ["embed", "--input", dataset, "--table", "t", "--model", model, "--address", ray_address]
    run += ["--commit-seconds", "0", "--batch-size", "4"]
    process = siglane.start(*run)
    time.sleep(random.uniform(0.5, 3))  # before it has begun to embed
    kill_process_group(process)
    for _ in range(2):
        kill_after_rows(siglane.start(*run), tmp_path / "t.lance")
    siglane(*run)

    assert_same_rows(rows_of(tmp_path / "t"), rows_of(undisturbed))


def test_a_driver_killed_again_and_again_in_the_plain_loop_ends_in_the_same_rows(
    siglane: Siglane, tmp_path: Path, dataset: Path, undisturbed: Path, model: Path
) -> None:
    """Killed right after it has committed, each time: the run must get on by at least that, and lose nothing."""
    run = ["embed", "--input", dataset, "--table", "t", "--model", model, "--local", "--commit-seconds", "0"]
    for _ in range(2):
        kill_after_rows(siglane.start(*run), tmp_path / "t.lance")
    assert 0 < len(rows_of(tmp_path / "t", ["source", "source_row"])) < 600
    siglane(*run)
    assert_same_rows(rows_of(tmp_path / "t"), rows_of(undisturbed))


def test_two_runs_at_one_time_land_each_row_once(
    siglane: Siglane, tmp_path: Path, dataset: Path, undisturbed: Path, model: Path
) -> None:
    run = ["embed", "--input", dataset, "--table", "t", "--model", model, "--local", "--commit-seconds", "0"]
    processes = [siglane.start(*run) for _ in range(2)]
    codes = []
    for process in processes:
        _, err = process.communicate(timeout=240)
        codes.append(process.returncode)
        assert process.returncode == 0 or "wait until it finishes, or stop it" in err, err
    assert 0 in codes
    assert_same_rows(rows_of(tmp_path / "t"), rows_of(undisturbed))


def test_two_runs_on_parts_of_an_input_both_land(siglane: Siglane, tmp_path: Path, dataset: Path, model: Path) -> None:
    for part, files in (("a", range(3)), ("b", range(3, 6))):
        (tmp_path / part).mkdir()
        for file in files:
            (tmp_path / part / f"{file:02d}.parquet").symlink_to(dataset / f"{file:02d}.parquet")
    processes = [
        siglane.start("embed", "--input", part, "--table", "t", "--model", model, "--local", "--commit-seconds", "0")
        for part in ("a", "b")
    ]
    for process in processes:
        _, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
    assert len(rows_of(tmp_path / "t")) == 300


def test_sigterm_keeps_what_is_finished_and_says_how_to_go_on(
    siglane: Siglane, tmp_path: Path, dataset: Path, undisturbed: Path, model: Path, ray_address: str
) -> None:
    run = ["embed", "--input", dataset, "--table", "t", "--model", model, "--address", ray_address]
    run += ["--commit-seconds", "0", "--batch-size", "4"]
    process = siglane.start(*run)
    wait_for_rows(process, tmp_path / "t.lance")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "run the same command again to continue" in err
    siglane(*run)
    assert_same_rows(rows_of(tmp_path / "t"), rows_of(undisturbed))


def test_more_gpus_than_the_cluster_has_are_refused(
    siglane: Siglane, tmp_path: Path, model: Path, ray_address: str
) -> None:
    write_photos(tmp_path / "in", 1)
    run = ["embed", "--input", "in", "--table", "t", "--model", model, "--address", ray_address]
    line = siglane.fails(*run, "--num-gpus", 3, code=2)
    assert "num_gpus 3: the cluster has no GPUs; give --num-gpus 0 to encode on CPUs" in line


def test_a_sample_that_ends_its_process_costs_one_row(
    siglane: Siglane, tmp_path: Path, model: Path, ray_address: str
) -> None:
    write_photos(tmp_path / "in", 6)
    (tmp_path / "in" / "photo0004.jpg").write_bytes(large_png(8000))
    run = ["embed", "--input", "in", "--table", "t", "--model", model, "--address", ray_address]
    summary = siglane(*run, "--sample-gigabytes", 0.1)
    assert (summary["success"], summary["rejected_by_reason"]) == (5, {"crash": 1})
    assert "photo0004.jpg" in summary["reject_examples"]["crash"]
    assert rows_of(tmp_path / "t")["photo0004.jpg", 0]["reason"] == "crash"


def test_an_error_in_a_task_is_one_line(siglane: Siglane, tmp_path: Path, model: Path, ray_address: str) -> None:
    with faulty_proxy(backend=0) as store:
        store.fail("403")
        (tmp_path / "in.jsonl").write_text(json.dumps({"url": f"{store.url}/a.jpg", "caption": "a"}))
        run = ["embed", "--input", "in.jsonl", "--table", "t", "--model", model, "--address", ray_address]
        process = siglane.start(*run, "--allow-uri", store.url)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "/a.jpg: the store refused access: 403" in err.strip().splitlines()[-1]
    assert "Traceback" not in err


def test_a_submitted_ray_job_succeeds_with_the_same_rows(
    tmp_path: Path, dataset: Path, undisturbed: Path, model: Path, ray_cluster: RayCluster
) -> None:
    entrypoint = [
        "python",
        "-m",
        "jobs.embed",
        "--input",
        dataset,
        "--table",
        tmp_path / "t",
        "--model",
        model,
        "--json",
    ]
    command = [sys.executable, "-m", "ray.scripts.scripts", "job", "submit", "--address", ray_cluster.jobs]
    done = subprocess.run(
        [*command, "--working-dir", ".", "--", *map(str, entrypoint)],
        cwd=ROOT,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "succeeded" in done.stdout.lower()
    summary = json.loads(next(line for line in done.stdout.splitlines() if line.startswith('{"table"')))
    assert summary["read"] == 600
    assert_same_rows(rows_of(tmp_path / "t"), rows_of(undisturbed))


def test_without_an_address_a_cluster_of_its_own_is_started_and_stopped(
    siglane: Siglane, tmp_path: Path, model: Path
) -> None:
    write_photos(tmp_path / "in", 3)
    home = tmp_path / "home"  # where Ray leaves the token of the cluster
    home.mkdir()
    run = ["embed", "--input", "in", "--table", "t", "--model", model, "--json"]
    process = siglane.start(*run, environment={"HOME": str(home), "RAY_AUTH_MODE": None})
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert json.loads(out)["success"] == 3
    assert (home / ".ray" / "auth_token").exists()
    wait_for(lambda: not processes_of_session(process.pid), "processes of the cluster are left")

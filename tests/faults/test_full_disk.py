"""A disk that is full in mid-run: the run says so and rejects nothing; with space made, the same command ends it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import Siglane
from tests.rows import assert_same_rows, rows_of


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a quarter of a megabyte, too small for the table."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
@pytest.mark.parametrize("engine", ["plain loop", "Ray"], indirect=True)
def test_a_full_disk_ends_the_run_and_rejects_nothing(
    siglane: Siglane,
    small_disk: Path,
    dataset: Path,
    undisturbed: Path,
    model: Path,
    engine: list[str],
) -> None:
    run = ["embed", "--input", dataset, "--table", small_disk / "t", "--model", model, "--commit-seconds", "0"]
    run += ["--batch-size", "16", *engine]
    process = siglane.start(*run)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    last = err.strip().splitlines()[-1]
    assert "No space left on device" in last
    assert "run the same command again" in last
    assert "Traceback" not in err

    whole = rows_of(undisturbed)
    kept = rows_of(small_disk / "t")
    assert 0 < len(kept) < len(whole)
    assert_same_rows(kept, {key: whole[key] for key in kept})

    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    summary = siglane(*run)
    assert summary["read"] == len(whole) - len(kept)
    assert_same_rows(rows_of(small_disk / "t"), whole)

"""The encoder's threads leave the cores to the processes that decode."""

from __future__ import annotations

from pathlib import Path

from tests.processes import Siglane
from tests.samples import write_photos


def test_threads_of_the_encoder_sleep_while_they_wait(siglane: Siglane, tmp_path: Path, model: Path) -> None:
    """OpenMP reads its settings when torch is imported, and shows then what holds for it."""
    write_photos(tmp_path / "in", 2)
    run = ["embed", "--input", "in", "--table", "t", "--model", model, "--local"]
    _, said = siglane.start(*run, environment={"OMP_DISPLAY_ENV": "TRUE", "OMP_WAIT_POLICY": None}).communicate()
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in said

"""What `siglane submit` sends to a cluster."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from jobs import submit
from jobs.submit import PACKAGES
from pipeline.on_ray import job_package
from tests.processes import ROOT


def test_the_package_is_the_code_and_nothing_else(tmp_path: Path) -> None:
    job_package.write(tmp_path / "a.zip", PACKAGES, {"run.yaml": b"batch_size: 3"})
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        names = archive.namelist()
        assert archive.read("run.yaml") == b"batch_size: 3"
        assert archive.read("jobs/cli.py") == (ROOT / "jobs" / "cli.py").read_bytes()
    assert {name.split("/")[0] for name in names} == {"siglip_core", "pipeline", "jobs", "scenes", "run.yaml"}
    assert "siglip_core/bundled/siglip-pico/model.safetensors" in names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
    assert (tmp_path / "a.zip").stat().st_size < 20e6


def test_the_same_code_gives_the_same_package(tmp_path: Path) -> None:
    for name in ("a.zip", "b.zip"):
        job_package.write(tmp_path / name, PACKAGES, {})
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


@pytest.mark.parametrize(
    ("option", "shown"),
    [
        (("--input", "https://user:word@h/x.parquet?sig=secret"), "https://h/x.parquet?…"),
        (("--input", "https://secret@h/x.parquet"), "https://h/x.parquet"),
        (("--table=s3://KEY:secret/word@bucket/t",), "--table=s3://bucket/t"),
        (("--caption-col", "of wJalrXUtnFEMI secret word"), "of …"),
    ],
)
def test_a_command_line_with_credentials_is_refused_before_anything_is_sent(
    option: tuple[str, ...], shown: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI secret word")
    command = ["embed", "--input", "in", "--table", "db/t", "--model", "siglip-pico", *option]
    assert submit.main(["--address", "http://127.0.0.1:1", "--", *command]) == 2
    said = capsys.readouterr().err
    assert shown in said
    assert "--config" in said
    assert "secret" not in said
    assert "word" not in said

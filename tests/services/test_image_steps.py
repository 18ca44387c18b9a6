"""The steps of the image for CPUs, run in a folder instead of a container: what it builds works.

Docker is not needed. Left out is what only a container needs: its user, and packages of its operating system.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pipeline
from tests.processes import ROOT, start

IMAGE = ROOT / "configs" / "docker" / "cpu.Dockerfile"
HOME = "/home/ray"
SECONDS = 1800
"""all packages are fetched and installed"""
ONLY_IN_A_CONTAINER = ("useradd ", "apt-get ")
INDEX_OF_TORCH = "--index-url https://download.pytorch.org/whl/cpu "
"""left out: a machine of tests may not reach it, and its own pip says where torch for CPUs comes from"""


def instructions() -> Iterator[tuple[str, str]]:
    """(instruction, its arguments), in their order."""
    for line in IMAGE.read_text("utf-8").replace("\\\n", " ").splitlines():
        if line and not line.startswith("#"):
            name, _, arguments = line.partition(" ")
            yield name, arguments


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """In the place of the image's home, with the interpreter of its base image on the path."""
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "python").symlink_to(os.path.realpath(sys.executable))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.mark.timeout(SECONDS)
@pytest.mark.skipif("CI" in os.environ, reason="installs all packages once more: minutes")
def test_its_steps_build_an_environment_that_embeds(home: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV" and "PYTHON" not in name}
    environment |= {"PATH": f"{home.parent / 'base'}{os.pathsep}{os.environ['PATH']}", "HOME": str(home)}

    def run(command: str) -> str:
        process = start("sh", "-ec", command, folder=home, environment=environment, errors=subprocess.PIPE)
        out, err = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, f"{command}: {err}"
        return out

    said = ""
    for name, arguments in instructions():
        if name == "ENV":
            for word in shlex.split(arguments.replace(HOME, str(home))):
                key, _, value = word.partition("=")
                environment[key] = value.replace("$PATH", environment["PATH"])
        elif name == "COPY":
            *froms, to = (word for word in arguments.split() if not word.startswith("--"))
            for source in froms:
                copy(ROOT / source, home / to, is_folder=to.endswith("/"))
        elif name == "RUN" and not arguments.startswith(ONLY_IN_A_CONTAINER):
            said = run(arguments.replace(INDEX_OF_TORCH, ""))
        else:
            assert name in ("FROM", "WORKDIR", "USER", "RUN"), f"an instruction that this test does not know: {name}"
    assert said == f"siglane {pipeline.__version__}\n"
    assert [path.name for path in home.iterdir() if not path.name.startswith(".")] == ["venv"]

    assert run("command -v siglane").strip() == str(home / "venv" / "bin" / "siglane")
    run("siglane scenes --output in --count 12")
    embedded = run("siglane embed --input in --table t --model siglip-pico --local --score --json")
    assert json.loads(embedded)["success"] == 12
    (found,) = json.loads(run("siglane query --table t --text 'a red square' -k 1 --json"))["results"]
    assert found["cosine"] is not None


def copy(source: Path, target: Path, is_folder: bool) -> None:
    """As COPY does: a folder's content becomes the target's, a file keeps its name in a folder."""
    target = target / source.name if is_folder else target
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)

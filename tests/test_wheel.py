"""The wheel: all that the packages read besides their modules is in it, and it works where nothing else is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import pipeline
from tests.processes import ROOT

PACKAGES = ("siglip_core", "pipeline", "jobs", "scenes")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("setuptools", minversion="80", reason="builds without the network")
    folder = tmp_path_factory.mktemp("build")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", folder / "wheel", folder], check=True)
    (built,) = (folder / "wheel").iterdir()
    return built


def test_it_holds_every_file_of_the_packages(wheel: Path) -> None:
    files = {path.relative_to(ROOT).as_posix() for name in PACKAGES for path in (ROOT / name).rglob("*.*")}
    files = {file for file in files if "__pycache__" not in file}
    with zipfile.ZipFile(wheel) as archive:
        assert files - set(archive.namelist()) == set()
    assert {"pipeline/report/style.css", "siglip_core/inspection/page.css"} < files
    assert "siglip_core/bundled/siglip-pico/model.safetensors" in files


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the wheel and what it asks for, and so no test tools.

    What it asks for are links to the packages of this environment, of which the tests have the right versions.
    """
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    for name in sorted(set(asked_for("siglane"))):
        for entry in entries(name):
            if not (packages / entry.name).exists():
                (packages / entry.name).symlink_to(entry)
    install = ["install", "--quiet", "--no-deps", "--no-index", "--force-reinstall", wheel]
    subprocess.run([sys.executable, "-m", "pip", "--python", folder / "bin" / "python", *install], check=True)
    return folder / "bin"


def asked_for(name: str, extras: frozenset[str] = frozenset()) -> Iterator[str]:
    """The distributions that this one needs, and those that they need."""
    seen: set[tuple[str, frozenset[str]]] = set()
    left = [(name, extras)]
    while left:
        one, wanted = left.pop()
        if (one, wanted) in seen:
            continue
        seen.add((one, wanted))
        if one != name:
            yield one
        for line in metadata.distribution(one).requires or []:
            needed = Requirement(line)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in {"", *wanted}):
                left.append((needed.name, frozenset(needed.extras)))


def entries(name: str) -> set[Path]:
    """The files and folders of a distribution, as they lie in the folder of packages."""
    distribution = metadata.distribution(name)
    tops = {file.parts[0] for file in distribution.files or [] if file.parts[0] not in ("..", "__pycache__")}
    return {Path(str(distribution.locate_file(top))) for top in tops}


def run(bare: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [bare / "siglane", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )


def test_it_works_in_an_environment_without_test_tools(bare: Path, tmp_path: Path) -> None:
    has = [
        bare / "python",
        "-c",
        "import importlib.util as u; print([n for n in ('pytest', 'ruff') if u.find_spec(n)])",
    ]
    assert subprocess.run(has, capture_output=True, text=True, check=True, cwd=tmp_path).stdout == "[]\n"
    assert run(bare, tmp_path, "--version").stdout == f"siglane {pipeline.__version__}\n"
    assert "usage: siglane COMMAND" in run(bare, tmp_path, "--help").stdout
    assert "usage: siglane embed" in run(bare, tmp_path, "help", "embed").stdout
    models = json.loads(run(bare, tmp_path, "models", "--json").stdout)["models"]
    assert Path(next(model["path"] for model in models if model["name"] == "siglip-pico")).is_relative_to(bare.parent)
    run(bare, tmp_path, "scenes", "--output", "in", "--count", "12")
    embed = ["--input", "in", "--table", "t", "--model", "siglip-pico", "--local", "--score", "--json"]
    assert json.loads(run(bare, tmp_path, "embed", *embed).stdout)["success"] == 12
    run(bare, tmp_path, "filter", "--table", "t", "--top-fraction", "0.5", "--output", "kept")
    run(bare, tmp_path, "report", "--table", "t", "--input", "in", "--output", "page.html")
    assert "1. cosine" in run(bare, tmp_path, "query", "--table", "t", "--text", "a red square", "-k", "1").stderr

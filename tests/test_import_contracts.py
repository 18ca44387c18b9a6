"""The import contracts of pyproject.toml hold for modules that nobody has listed; Lance stays with the table."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT

PACKAGES = ("siglip_core", "scenes", "pipeline", "jobs")
# What must not be imported, each where a list of modules would have a hole: the root, an old module, a new one.
PROBES = {
    "scenes/words.py": "ray",
    "pipeline/__init__.py": "ray",
    "pipeline/schema.py": "lance",
    "pipeline/probed.py": "lancedb",
    "pipeline/filtering/probed.py": "ray",
}


def test_an_import_of_ray_or_lance_anywhere_else_breaks_a_contract(tmp_path: Path) -> None:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("bundled", "__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for file, module in PROBES.items():
        path = tmp_path / file
        path.write_text((path.read_text("utf-8") if path.exists() else "") + f"\nimport {module}\n", "utf-8")
    linter = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([linter, "--no-cache"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stdout
    for file, module in PROBES.items():
        name = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        assert f"{name} -> {module}" in run.stdout


@pytest.mark.parametrize("package", ["pipeline", "jobs"])
def test_lances_dataset_is_reached_through_the_table_alone(package: str) -> None:
    """An attribute typed `Any` is no import: `Table.lance` is for `pipeline.table`."""
    outside = [file for file in (ROOT / package).rglob("*.py") if ROOT / "pipeline/table" not in file.parents]
    reached = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in outside
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "lance"
    ]
    assert len(outside) > 10
    assert reached == []

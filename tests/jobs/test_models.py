"""`siglane models`: every name that can be given, what it costs, and whether it is here."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jobs import models
from siglip_core import names
from siglip_core.variants import PUBLISHED
from tests.processes import ROOT, Siglane

MODEL = "google/siglip-base-patch16-224"
NAFLEX = "google/siglip2-so400m-patch16-naflex"


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """huggingface_hub's cache, with nothing in it, and no way to the Hub."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "hub"


def test_every_published_model_is_listed_with_its_figures(siglane: Siglane, empty_cache: Path) -> None:
    listed = {model["name"]: model for model in siglane("models")["models"]}
    assert set(PUBLISHED) <= set(listed)
    assert listed[MODEL] == {
        "name": MODEL,
        "parameters": 203_155_970,
        "image_parameters": 92_884_224,
        "text_parameters": 110_271_744,
        "patch_size": 16,
        "resolution": 224,
        "max_patches": 196,
        "text_length": 64,
        "embedding_dim": 768,
        "gflops_per_image": 35.417,
        "path": None,
    }
    assert (listed[NAFLEX]["resolution"], listed[NAFLEX]["max_patches"]) == (None, 256)
    assert all(listed[name]["path"] is None for name in PUBLISHED)


def test_a_model_in_the_cache_is_told_with_its_folder(siglane: Siglane, empty_cache: Path) -> None:
    repository = empty_cache / "models--google--siglip-base-patch16-224"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    (snapshot / "config.json").write_text("{}")
    paths = {model["name"]: model["path"] for model in siglane("models")["models"]}
    assert paths[MODEL] is None  # a config alone is no model
    (snapshot / "model.safetensors").write_bytes(b"")
    paths = {model["name"]: model["path"] for model in siglane("models")["models"]}
    assert paths[MODEL] == str(snapshot)


def test_the_table_has_one_aligned_line_a_model(siglane: Siglane, empty_cache: Path) -> None:
    out, err = siglane.start("models").communicate()
    assert out == ""
    heading, *lines = err.partition("\n\n")[0].splitlines()
    assert heading.split()[:2] == ["model", "parameters"]
    assert len({len(line) for line in (heading, *lines)}) == 1
    rows = {line.split()[0]: line for line in lines}
    assert set(PUBLISHED) <= set(rows)
    assert rows[MODEL].split() == [MODEL, "203.2", "M", "224", "x", "224", "64", "768", "35.4", "-"]
    assert "<= 256 patches" in rows[NAFLEX]


def test_bundled_models_come_first(
    model: Path, tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(model, tmp_path / "bundled" / "siglip-small")
    monkeypatch.setattr(names, "BUNDLED", folder.parent)
    first, *others = models.models(models.ModelsJob()).summary["models"]
    assert (first["name"], first["path"]) == ("siglip-small", str(folder))
    assert [entry["name"] for entry in others] == list(PUBLISHED)


def test_it_imports_no_torch(empty_cache: Path) -> None:
    code = (
        "import sys; from jobs.cli import main; main(['models']); print({'torch', 'ray', 'lance'} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "set()"

"""What a model's name means: folders, ids, revisions, near misses. Nothing here reaches for the network."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from siglip_models import model_folder, random_model, spec

import siglip_core
from siglip_core import SiglipError
from siglip_core.names import HubId, parse
from siglip_core.variants import PUBLISHED


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("google/siglip2-so400m-patch14-384", HubId("google/siglip2-so400m-patch14-384")),
        ("siglip2-so400m-patch14-384", HubId("google/siglip2-so400m-patch14-384")),
        ("siglip-base-patch16-224@abc123", HubId("google/siglip-base-patch16-224", "abc123")),
        ("someone/fine-tuned@v2", HubId("someone/fine-tuned", "v2")),
    ],
)
def test_ids(name: str, meaning: HubId) -> None:
    assert parse(name) == meaning


def test_what_exists_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "siglip-base-patch16-224").mkdir()
    monkeypatch.chdir(tmp_path)
    assert parse("siglip-base-patch16-224") == Path("siglip-base-patch16-224")
    assert parse(tmp_path) == tmp_path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("siglip2-so400m-patch14-385", "google/siglip2-so400m-patch14-384"),
        ("google/siglip-base-patch16", "google/siglip-base-patch16-512"),
        ("SigLIP-Base-Patch16-224", "google/siglip-base-patch16-224"),
        ("./absent", "no such folder"),
        (Path("/absent/folder"), "no such folder"),
        ("", "no such folder"),
    ],
)
def test_unknown_names_show_near_ones(name: str | Path, message: str) -> None:
    with pytest.raises(SiglipError, match=message):
        siglip_core.load(name)


def test_a_published_spec_needs_no_files() -> None:
    assert siglip_core.spec("siglip2-base-patch16-224").vision == PUBLISHED["google/siglip2-base-patch16-224"].vision
    assert siglip_core.spec("siglip2-base-patch16-224@abc").name == "google/siglip2-base-patch16-224@abc"


OFFLINE = """
import json, sys
import siglip_core
from siglip_core.names import cached

def outcome(call, *args):
    try:
        return str(call(*args))
    except siglip_core.SiglipError as error:
        return f"{type(error).__name__}: {error}"

print(json.dumps({
    "cached": outcome(cached, "someone/tiny@v1"),
    "not cached": outcome(cached, "siglip2-base-patch16-224"),
    "loaded": outcome(lambda: siglip_core.load("someone/tiny@v1").spec.name),
    "spec": outcome(lambda: siglip_core.spec("someone/tiny@v1").embedding_dim),
    "absent": outcome(siglip_core.load, "siglip2-base-patch16-224"),
    "altered": outcome(siglip_core.load, "siglip-base-patch16-224"),
}))
"""


@pytest.fixture(scope="module", name="offline")
def _offline(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a fresh process says whose Hub cache holds two models, and which has no network."""
    home = tmp_path_factory.mktemp("hub")
    for repository, revision in (("someone/tiny", "v1"), ("google/siglip-base-patch16-224", "main")):
        repo = home / f"models--{repository.replace('/', '--')}"
        model_folder(repo / "snapshots" / "0123abc", random_model(spec()))
        (repo / "refs").mkdir()
        (repo / "refs" / revision).write_text("0123abc")
    environment = {**os.environ, "HF_HUB_CACHE": str(home), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", OFFLINE], env=environment, capture_output=True, text=True, check=True)
    outcomes: dict[str, str] = json.loads(done.stdout)
    return outcomes


def test_cached_models_load_without_a_network(offline: dict[str, str]) -> None:
    assert offline["cached"].endswith("models--someone--tiny/snapshots/0123abc")
    assert offline["loaded"] == "someone/tiny@v1"
    assert offline["spec"] == "24"
    assert offline["not cached"] == "None"


def test_without_a_network_the_error_names_the_way_out(offline: dict[str, str]) -> None:
    assert "hf download google/siglip2-base-patch16-224 --local-dir FOLDER" in offline["absent"]


def test_files_that_are_not_the_published_model_are_refused(offline: dict[str, str]) -> None:
    assert offline["altered"].startswith("CheckpointError")
    assert "was published as" in offline["altered"]

"""siglip_core with nothing installed but torch, numpy, pillow, simplejpeg and safetensors (and what those need)."""

import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
from siglip_models import image_bytes, model_folder, photo, random_model, spec

import siglip_core

NEEDED = ("torch", "numpy", "pillow", "simplejpeg", "safetensors")

SCRIPT = """
import sys
import siglip_core
from siglip_core import checkpoint, export, init, losses, preprocess, ring, similarity
model = siglip_core.load(sys.argv[1])
image = model.preprocess(open(sys.argv[2], "rb").read())
x = model.encode_image(image[None])
y = model.encode_text(__import__("numpy").ones((1, 16), "int64"))
print(x.shape == y.shape == (1, 24), similarity.cosine(x.numpy(), y.numpy()).shape)
for call in (lambda: model.encode_text(["a"]), lambda: siglip_core.load("siglip-base-patch16-224")):
    try:
        call()
    except siglip_core.SiglipError as error:
        print(error)
"""


def with_requirements(names: tuple[str, ...]) -> set[str]:
    """Distributions by name, and what they need on this machine, down to the last."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for requirement in distribution(name).requires or []:
            needed, _, marker = requirement.partition(";")
            if not marker:  # what has a marker is an extra, or for another system
                waiting.append(re.split(r"[^\w.-]", needed.strip())[0])
    return found


@pytest.fixture(name="bare")
def _bare(tmp_path: Path) -> Path:
    """A folder that holds links to those packages and to siglip_core, and nothing else."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "siglip_core").symlink_to(Path(siglip_core.__file__).parent)
    for name in with_requirements(NEEDED):
        for file in distribution(name).files or []:
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not (folder / top).exists():
                (folder / top).symlink_to(Path(str(distribution(name).locate_file(top))))
    return folder


def test_images_and_token_ids_are_encoded(bare: Path, tmp_path: Path) -> None:
    model = model_folder(tmp_path / "tiny", random_model(spec()))
    (tmp_path / "photo.jpg").write_bytes(image_bytes(photo(), "JPEG"))
    code = f"import sys; sys.path.insert(0, {str(bare)!r})\n{SCRIPT}"
    # -S leaves out site-packages, -I the current folder and the environment.
    command = [sys.executable, "-I", "-S", "-c", code, str(model), str(tmp_path / "photo.jpg")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    encoded, strings, by_name = done.stdout.splitlines()
    assert encoded == "True (1,)"
    assert "pip install sentencepiece" in strings
    assert "pip install huggingface_hub" in by_name

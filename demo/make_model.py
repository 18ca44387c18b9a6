"""Writes a small SigLIP with random weights and a tokenizer trained on the bundled captions: a stand-in, not a model
that knows anything. The same call always writes the same files."""

from __future__ import annotations

import sys
from pathlib import Path

from siglip_core import Preprocessing, Spec, TextSpec, VisionSpec, checkpoint
from siglip_core.init import initialise
from siglip_core.model import Siglip
from siglip_core.tokenizer_training import train_tokenizer

SEED = 2303
VOCABULARY = 800


def make_model(folder: Path, captions: list[str]) -> None:
    spec = Spec(
        "demo",
        VisionSpec(width=96, depth=4, heads=3, mlp=384, patch_size=16, resolution=96),
        TextSpec(width=96, depth=3, heads=3, mlp=384, vocab_size=VOCABULARY, length=32, embedding_dim=96),
        Preprocessing("hf-bicubic-aa", 96),
    )
    checkpoint.save(initialise(Siglip(spec), SEED), folder)
    (folder / "spiece.model").write_bytes(train_tokenizer(captions, VOCABULARY))


if __name__ == "__main__":
    photos, folder = map(Path, sys.argv[1:])
    make_model(folder, [path.read_text("utf-8").strip() for path in sorted(photos.rglob("*.txt"))])

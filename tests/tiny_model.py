"""A SigLIP of a few thousand weights, random from a fixed seed, with a tokenizer: it knows nothing, and is quick."""

from __future__ import annotations

from pathlib import Path

from siglip_core import Preprocessing, Spec, TextSpec, VisionSpec, checkpoint
from siglip_core.init import initialise
from siglip_core.model import Siglip
from siglip_core.tokenizer_training import train_tokenizer

SEED = 2303
VOCABULARY = 800


def make_model(folder: Path, captions: list[str]) -> None:
    """Writes the model to a folder; its tokenizer is trained on the captions. Equal captions give equal files."""
    spec = Spec(
        "tiny",
        VisionSpec(width=96, depth=4, heads=3, mlp=384, patch_size=16, resolution=96),
        TextSpec(width=96, depth=3, heads=3, mlp=384, vocab_size=VOCABULARY, length=32, embedding_dim=96),
        Preprocessing("hf-bicubic-aa", 96),
    )
    checkpoint.save(initialise(Siglip(spec), SEED), folder)
    (folder / "spiece.model").write_bytes(train_tokenizer(captions, VOCABULARY))

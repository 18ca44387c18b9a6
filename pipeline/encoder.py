"""The encoder of a table: what identifies one, and loading the same one again."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import siglip_core
from pipeline.errors import IdentityError
from pipeline.schema import Identity

if TYPE_CHECKING:
    from siglip_core.encoder import Encoder

LIBRARIES = ("siglane", "torch", "pillow", "pylance", "ray")


def absolute(model: str) -> str:
    """A local folder's full path, so that other processes and later queries find it; another name as it is."""
    folder = Path(model).expanduser()
    return folder.resolve().as_posix() if folder.exists() else model


def identify(model: str, precision: str) -> Identity:
    """What would make a table's vectors, read off the model itself."""
    return _identity(siglip_core.load(model), model, precision)


def load_same(model: str, identity: Identity, device: str = "cpu") -> Encoder:
    """Loads the encoder that made a table, and makes sure that it is that one.

    Raises:
        IdentityError: its weights, tokenizer or preprocessing are others.
        siglip_core.SiglipError: it does not load.
    """
    encoder = siglip_core.load(model, device, identity.precision)
    for name, wanted, found in identity.differences(_identity(encoder, model, identity.precision)):
        raise IdentityError(
            f"model {model}: has {name} {found}, the table was made with {wanted}; "
            "give the files of that model, the same on every node (query: --model names their folder)"
        )
    return encoder


def _identity(encoder: Encoder, model: str, precision: str) -> Identity:
    return Identity(
        weights=encoder.weights_digest,
        preprocessing=encoder.spec.preprocessing.identity,
        tokenizer=encoder.tokenizer_digest,
        precision=precision,
        dimension=encoder.spec.embedding_dim,
        model=model,
        logit_scale=encoder.logit_scale,
        logit_bias=encoder.logit_bias,
        versions=tuple((name, version(name)) for name in LIBRARIES),
    )

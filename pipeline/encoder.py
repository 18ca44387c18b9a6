"""The encoder of a table: its identity, and loading the same encoder again."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import siglip_core
from pipeline import __version__
from pipeline.errors import IdentityError, UsageError
from pipeline.schema import UNKNOWN_MODEL, Identity
from siglip_core.precision import Precision, fast_precision, forbid_tf32
from siglip_core.variants import Decoding, decoding_of

if TYPE_CHECKING:
    from siglip_core.encoder import Encoder

LIBRARIES = ("torch", "pillow", "pylance", "ray")


def absolute(model: str) -> str:
    """The absolute path of a local folder, so that other processes and later queries find it. Other names unchanged."""
    folder = Path(model).expanduser()
    return folder.resolve().as_posix() if folder.exists() else model


def identify(model: str, precision: Precision, preprocessing: Decoding = "exact") -> Identity:
    """The identity of the vectors that this model makes, read from the model itself."""
    return _identity(siglip_core.load(model, preprocessing=preprocessing), model, precision)


def fast_here(with_gpus: bool = True) -> Precision:
    """The precision that encoders on this machine compute fast: on its GPUs, or else on its CPU."""
    import torch

    return fast_precision("cuda" if with_gpus and torch.cuda.is_available() else "cpu")


def load_same(model: str, identity: Identity, device: str = "cpu") -> Encoder:
    """Loads the encoder that made a table, and checks its identity.

    Raises:
        IdentityError: its weights, tokenizer or preprocessing differ from the table's.
        UsageError: the table's vectors were imported without a model.
        siglip_core.SiglipError: it cannot be loaded.
    """
    if identity.model == UNKNOWN_MODEL:
        raise UsageError(
            "this needs the table's model, but its vectors were imported without one; import them into another table "
            "with --model (to search without a model, give --uid)"
        )
    decoding = decoding_of(identity.preprocessing)
    forbid_tf32()
    encoder = siglip_core.load(model, device, identity.precision, preprocessing=decoding)
    for name, wanted, found in identity.differences(_identity(encoder, model, identity.precision)):
        raise IdentityError(
            f"model {model}: its {name} is {found}, but the table was made with {wanted}; "
            "give the files of that model, the same on every node (for query: name their folder with --model)"
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
        versions=(("siglane", __version__), *((name, version(name)) for name in LIBRARIES)),
    )

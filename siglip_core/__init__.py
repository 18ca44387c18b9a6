"""SigLIP image and text encoders, written from scratch.

    model = siglip_core.load("path/to/folder")
    x = model.encode_image(model.preprocess(jpeg_bytes)[None])      # float32 [1, D], unit length
    y = model.encode_text(["a photo of two cats"])                  # float32 [1, D], unit length
    logit = model.logit_scale * (x @ y.T) + model.logit_bias

Importing this package imports neither torch nor anything else heavy.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from siglip_core.errors import CheckpointError, ImageError, SiglipError, TokenizerError
from siglip_core.variants import Mode, Preprocessing, Spec, TextSpec, VisionSpec

if TYPE_CHECKING:
    import torch

    from siglip_core.encoder import Encoder

__all__ = [
    "CheckpointError",
    "ImageError",
    "Preprocessing",
    "SiglipError",
    "Spec",
    "TextSpec",
    "TokenizerError",
    "VisionSpec",
    "load",
    "spec",
]


def spec(name_or_dir: str | Path, mode: Mode = "exact") -> Spec:
    """What a model is, without its weights; for a published id, without its files either.

    Takes the names that `load` takes, and its modes. Raises SiglipError for an unknown name, and CheckpointError.
    """
    from siglip_core.names import describe

    return describe(name_or_dir, mode)


def load(
    name_or_dir: str | Path,
    device: "str | torch.device" = "cpu",
    dtype: "str | torch.dtype" = "float32",
    mode: Mode = "exact",
) -> "Encoder":
    """A model ready to encode.

    Args:
        name_or_dir: a folder in the layout of transformers, open_clip or big_vision; a big_vision `.npz`; a published
            id with or without `google/` and `@revision` (fetched from the Hugging Face Hub, and then from its cache);
            any `owner/name` on the Hub.
        device: as torch names it ("cpu", "cuda", "cuda:1"); one that is not there is an error, never replaced.
        dtype: of weights and arithmetic, float32, bfloat16 or float16 (vectors come out in float32 anyway).
        mode: "exact", images and texts treated as by transformers with the published files; "bv", as by big_vision,
            with which the models were trained: bilinear without antialiasing, texts lower-cased and no more.

    Raises:
        SiglipError: an unknown name, device or dtype, no network.
        CheckpointError: config or weights are absent, broken, or contradict each other.
    """
    from siglip_core.encoder import load as load_encoder

    return load_encoder(name_or_dir, device, dtype, mode)

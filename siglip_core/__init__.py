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
from siglip_core.variants import Decoding, Mode, Preprocessing, Spec, TextSpec, VisionSpec

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


def spec(name_or_dir: str | Path, mode: Mode = "exact", preprocessing: Decoding = "exact") -> Spec:
    """Describes a model without reading its weights; for a published id it needs none of the model's files.

    Takes the names, modes and preprocessings that `load` takes.

    Raises:
        SiglipError: the name is unknown, or the mode has no such preprocessing.
        CheckpointError: the config is missing, broken, or contradicts itself.
    """
    from siglip_core.names import describe

    return describe(name_or_dir, mode).decoded(preprocessing)


def load(
    name_or_dir: str | Path,
    device: "str | torch.device" = "cpu",
    dtype: "str | torch.dtype" = "float32",
    mode: Mode = "exact",
    preprocessing: Decoding = "exact",
) -> "Encoder":
    """Loads a model for inference.

    Args:
        name_or_dir: a folder in the layout of transformers, open_clip or big_vision; a big_vision `.npz`; a published
            id with or without `google/` and `@revision` (downloaded once from the Hugging Face Hub, then read from its
            cache); any `owner/name` on the Hub.
        device: torch's name of it ("cpu", "cuda", "cuda:1"). A missing device is an error; no other is used instead.
        dtype: float32, bfloat16 or float16, for weights and arithmetic. Vectors are always returned in float32.
        mode: "exact" processes images and texts as transformers does with the published files. "bv" does as
            big_vision, with which the models were trained: bilinear resizing without antialiasing, and texts are only
            lower-cased.
        preprocessing: "exact" gives the pixels of Pillow, within one grey level. "fast" decodes a large JPEG to a
            smaller size first, and its pixels differ more (docs/input.md).

    Raises:
        SiglipError: the name, device or dtype is unknown, the mode has no such preprocessing, or there is no network.
        CheckpointError: config or weights are missing, broken, or contradict each other.
    """
    from siglip_core.encoder import load as load_encoder

    return load_encoder(name_or_dir, device, dtype, mode, preprocessing)

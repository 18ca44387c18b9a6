"""SigLIP image and text encoders, written from scratch.

    model = siglip_core.load("path/to/folder")
    x = model.encode_image(model.preprocess(jpeg_bytes)[None])      # float32 [1, D], unit length
    y = model.encode_text(["a photo of two cats"])                  # float32 [1, D], unit length
    logit = model.logit_scale * x @ y.T + model.logit_bias

Importing this package imports neither torch nor anything else heavy.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from siglip_core.errors import CheckpointError, ImageError, SiglipError, TokenizerError
from siglip_core.hf_config import read_spec
from siglip_core.variants import Preprocessing, Spec, TextSpec, VisionSpec

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


def spec(name_or_dir: str | Path) -> Spec:
    """What a model is, from its config alone. Raises CheckpointError."""
    return read_spec(Path(name_or_dir))


def load(
    name_or_dir: str | Path, device: "str | torch.device" = "cpu", dtype: "str | torch.dtype" = "float32"
) -> "Encoder":
    """A model ready to encode, from a folder in the layout of transformers' SiglipModel.

    device: as torch names it ("cpu", "cuda", "cuda:1"); one that is not there is an error, never replaced.
    dtype: of weights and arithmetic, float32, bfloat16 or float16 (vectors come out in float32 anyway).
    Raises CheckpointError, TokenizerError, and SiglipError for device and dtype.
    """
    from siglip_core.encoder import as_dtype, load_folder

    return load_folder(Path(name_or_dir), device, as_dtype(dtype))

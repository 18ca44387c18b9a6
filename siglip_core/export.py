"""Weights in the layouts of other libraries; transformers', our own choice, is what `checkpoint.save` writes."""

from pathlib import Path

import numpy as np

from siglip_core.checkpoint import export, write_safetensors
from siglip_core.layouts import big_vision, open_clip
from siglip_core.model import Siglip


def save_big_vision(model: Siglip, path: Path, stacked: bool = True) -> None:
    """A .npz as big_vision loads it; stacked: the blocks of a tower in one tensor, as SigLIP 2 is published."""
    layout = big_vision.entries(model.spec, prefix="params/", image_stacked=stacked, text_stacked=stacked)
    tensors = export(model.state_dict(), layout)
    # Written through a file object: given a name, numpy would add a second suffix to one that has none.
    with path.open("wb") as file:
        np.savez(file, **{name: tensor.float().numpy() for name, tensor in tensors.items()})  # type: ignore[arg-type]


def save_open_clip(model: Siglip, folder: Path) -> None:
    """`open_clip_model.safetensors`, as open_clip's CustomTextCLIP with a timm tower loads it."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = export(model.state_dict(), open_clip.entries(model.spec))
    write_safetensors(tensors, folder / "open_clip_model.safetensors")

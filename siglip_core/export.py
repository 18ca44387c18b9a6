"""Saves weights in the layouts of other libraries. `checkpoint.save` writes transformers' layout, our default."""

from pathlib import Path

import numpy as np

from siglip_core.checkpoint import export, write_safetensors
from siglip_core.layouts import big_vision, open_clip
from siglip_core.model import Siglip


def save_big_vision(model: Siglip, path: Path, stacked: bool = True) -> None:
    """Writes a .npz that big_vision can load. If `stacked`, the blocks of a tower are one tensor, as in SigLIP 2."""
    layout = big_vision.entries(model.spec, prefix="params/", image_stacked=stacked, text_stacked=stacked)
    tensors = export(model.state_dict(), layout)
    # Written through a file object, because numpy would add .npz to a name that has another suffix or none.
    with path.open("wb") as file:
        np.savez(file, **{name: tensor.float().numpy() for name, tensor in tensors.items()})  # type: ignore[arg-type]


def save_open_clip(model: Siglip, folder: Path) -> None:
    """Writes `open_clip_model.safetensors`, which open_clip's CustomTextCLIP with a timm tower can load."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = export(model.state_dict(), open_clip.entries(model.spec))
    write_safetensors(tensors, folder / "open_clip_model.safetensors")

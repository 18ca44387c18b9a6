"""Reads a model's config files, or the shapes of its weights, into a Spec: one module per publisher. Needs no torch."""

from pathlib import Path

from siglip_core.configs import big_vision, hf, open_clip
from siglip_core.errors import CheckpointError
from siglip_core.variants import Spec


def read_spec(path: Path) -> Spec:
    """The spec of a model folder, or of one .npz file of big_vision, from its own files.

    The spec of a folder comes from config.json (transformers), else from open_clip_config.json, else from the shapes
    in its only .npz.

    Raises:
        CheckpointError: the source of the spec is missing, broken, contradicts itself or does not describe a SigLIP
            model. The message names the file and the key.
    """
    if path.is_file() and path.suffix == ".npz":
        return big_vision.read_spec(path)
    if not path.is_dir():
        raise CheckpointError(f"{path}: no such folder; give a folder with config.json and model.safetensors")
    if not (path / "config.json").exists():
        if (path / "open_clip_config.json").exists():
            return open_clip.read_spec(path)
        arrays = sorted(path.glob("*.npz"))
        if len(arrays) == 1:
            return big_vision.read_spec(arrays[0])
    return hf.read_spec(path)

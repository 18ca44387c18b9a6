"""Files of tensors -> tensors by name: safetensors (one file or shards), torch's .bin without pickle, numpy's .npz."""

import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from siglip_core.errors import CheckpointError

Tensors = dict[str, Tensor]

# In order of preference: formats that are safe and memory-mapped come first.
_SAFETENSORS = ("model.safetensors", "open_clip_model.safetensors")
_INDEX = "model.safetensors.index.json"
_TORCH = ("pytorch_model.bin", "open_clip_pytorch_model.bin")


def read(path: Path) -> tuple[Path, Tensors]:
    """The file of a model folder's weights (or the given .npz file), and its tensors.

    Raises:
        CheckpointError: there is no weights file, or it is truncated or of another format.
    """
    if path.is_file():
        return path, _read_npz(path)
    for name in _SAFETENSORS:
        if (path / name).exists():
            return path / name, _read_safetensors(path / name)
    if (path / _INDEX).exists():
        return path / _INDEX, _read_shards(path / _INDEX)
    for name in _TORCH:
        if (path / name).exists():
            return path / name, _read_torch(path / name)
    arrays = sorted(path.glob("*.npz"))
    if len(arrays) == 1:
        return arrays[0], _read_npz(arrays[0])
    found = ", ".join(sorted(entry.name for entry in path.iterdir())) or "nothing"
    wanted = ", ".join((*_SAFETENSORS, _INDEX, *_TORCH))
    raise CheckpointError(
        f"{path}: no weights found (only {found}); add the published weights as {wanted} or a single .npz"
    )


def _read_safetensors(path: Path) -> Tensors:
    try:
        tensors: Tensors = safetensors.torch.load_file(path, device="cpu")
    except (safetensors.SafetensorError, OSError) as error:
        raise _broken(path, "safetensors", error) from error
    return tensors


def _read_shards(index: Path) -> Tensors:
    try:
        shard_of = json.loads(index.read_bytes())["weight_map"]
        shards = sorted(set(shard_of.values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{index}: not an index of shards (an object with a weight_map): {error!r}; download the file again"
        ) from error
    tensors: Tensors = {}
    for shard in shards:
        path = index.parent / shard
        if path.parent != index.parent or not path.is_file():
            raise CheckpointError(f"{index}: lists shard {shard!r}, which is missing from the folder; download it too")
        found = _read_safetensors(path)
        listed = {name for name, home in shard_of.items() if home == shard}
        if found.keys() != listed:
            raise CheckpointError(
                f"{path}: its tensors differ from those that the index lists, for example "
                f"{min(found.keys() ^ listed)}; index and shards come from different checkpoints"
            )
        tensors.update(found)
    return tensors


def _read_torch(path: Path) -> Tensors:
    """Reads with weights_only, so that no code in the file is executed."""
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, OSError, EOFError, ValueError) as error:
        raise _broken(path, "a torch state dict without code", error) from error
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise CheckpointError(f"{path}: contains more than named tensors; save only the model's state dict")
    return tensors


def _read_npz(path: Path) -> Tensors:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: _from_numpy(arrays[name]) for name in arrays.files}
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise _broken(path, "an .npz of numbers", error) from error


def _from_numpy(array: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]") -> Tensor:
    if array.dtype == np.dtype("V2"):  # numpy has no bfloat16: it reads jax's as two bytes without a type
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(np.ascontiguousarray(array))


def _broken(path: Path, kind: str, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{path} ({path.stat().st_size:,} bytes): truncated or not {kind}: {error}; download the file again"
    )

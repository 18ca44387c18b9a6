"""Weights in files -> a state dict of model.Siglip, strictly, and back.

Strict: every tensor of the file is used, none is missing, every shape is the one config.json asks for. Files
are memory-mapped, so reading one costs address space, not memory, until the model is moved to its device.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from siglip_core import layouts
from siglip_core.errors import CheckpointError
from siglip_core.hf_config import write_config
from siglip_core.model import Siglip
from siglip_core.variants import Spec

State = dict[str, Tensor]

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_FLOATS = (torch.float32, torch.float16, torch.bfloat16)


def read(folder: Path, spec: Spec) -> State:
    """The weights in a folder, by the names of model.Siglip's parameters, in the dtype they are stored in.

    Reads `model.safetensors` or the shards that `model.safetensors.index.json` lists. Raises CheckpointError
    if a file is absent, truncated or not safetensors, or if its tensors are not exactly those that `spec`
    asks for.
    """
    if (folder / _SINGLE).exists():
        return convert(_read_file(folder / _SINGLE), layouts.hf(spec), folder / _SINGLE)
    if (folder / _INDEX).exists():
        return convert(_read_shards(folder / _INDEX), layouts.hf(spec), folder / _INDEX)
    found = ", ".join(sorted(entry.name for entry in folder.iterdir())) or "nothing"
    raise CheckpointError(
        f"{folder}: holds neither {_SINGLE} nor {_INDEX} (found: {found}); "
        "put the published weights there, under one of these names"
    )


def convert(tensors: Mapping[str, Tensor], layout: Iterable[layouts.Entry], source: Path) -> State:
    """Tensors of a published layout -> ours. Raises CheckpointError naming each tensor that does not fit."""
    entries = {entry.theirs: entry for entry in layout}
    missing = [name for name in entries if name not in tensors]
    unexpected = [name for name in tensors if name not in entries and name not in layouts.HF_BUFFERS]
    if missing or unexpected:
        parts = [f"lacks {_few(missing)}"] if missing else []
        parts += [f"holds {_few(unexpected)}, which the model has no place for"] if unexpected else []
        raise CheckpointError(
            f"{source}: {' and '.join(parts)}; config.json describes another model than these weights"
        )
    state: State = {}
    for name, entry in entries.items():
        tensor = tensors[name]
        if tuple(tensor.shape) != entry.shape:
            raise CheckpointError(
                f"{source}: {name} has shape {list(tensor.shape)}, config.json asks for {list(entry.shape)}; "
                "one of the two belongs to another model"
            )
        if tensor.dtype not in _FLOATS:
            raise CheckpointError(
                f"{source}: {name} is stored as {str(tensor.dtype).removeprefix('torch.')}; "
                "only float32, float16 and bfloat16 weights are supported"
            )
        state.update(zip(entry.ours, entry.split(tensor), strict=True))
    return state


def weights_digest(state: Mapping[str, Tensor]) -> str:
    """sha256 (64 hex digits) of a state dict by our names: the same whichever layout or float type it was
    stored in.

    Hashed are, sorted by name, `name`, a space, the sizes joined by `x`, a newline, and the values as
    little-endian float32. float16 and bfloat16 values are float32 values, so a file and its exact copy in
    float32 agree.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().to("cpu", torch.float32).contiguous()
        digest.update(f"{name} {'x'.join(map(str, tensor.shape))}\n".encode())
        digest.update(tensor.numpy().astype("<f4", copy=False).data)
    return digest.hexdigest()


def save(model: Siglip, folder: Path) -> None:
    """Writes config.json, preprocessor_config.json and model.safetensors, as transformers' SiglipModel reads
    them.

    The folder is made if need be; the tokenizer's file is the caller's to put beside them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = model.state_dict()
    tensors = {
        entry.theirs: entry.join([state[name].detach().cpu() for name in entry.ours]).contiguous()
        for entry in layouts.hf(model.spec)
    }
    write_config(model.spec, folder)
    safetensors.torch.save_file(tensors, folder / _SINGLE, metadata={"format": "pt"})


def _read_file(path: Path) -> dict[str, Tensor]:
    try:
        tensors: State = safetensors.torch.load_file(path, device="cpu")
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} ({path.stat().st_size:,} bytes): truncated or not safetensors: {error}; fetch the file again"
        ) from error
    return tensors


def _read_shards(index: Path) -> dict[str, Tensor]:
    try:
        shard_of = json.loads(index.read_bytes())["weight_map"]
        shards = sorted(set(shard_of.values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{index}: not an index of shards (an object with a weight_map): {error!r}; fetch the file again"
        ) from error
    tensors: dict[str, Tensor] = {}
    for shard in shards:
        path = index.parent / shard
        if path.parent != index.parent or not path.is_file():
            raise CheckpointError(f"{index}: lists the shard {shard!r}, which is not in the folder; fetch it too")
        found = _read_file(path)
        listed = {name for name, home in shard_of.items() if home == shard}
        if found.keys() != listed:
            raise CheckpointError(
                f"{path}: the index lists other tensors for this shard, such as "
                f"{_few(sorted(found.keys() ^ listed))}; index and shards come from different checkpoints"
            )
        tensors.update(found)
    return tensors


def _few(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"

"""Weights in files -> a state dict of model.Siglip, strictly, and back.

Strict: every tensor of the file is used, none is missing, every shape is the one the spec asks for. safetensors are
memory-mapped, so reading them costs address space, not memory, until the model is on its device.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from siglip_core import layouts, weight_files
from siglip_core.configs import hf as hf_config
from siglip_core.configs.big_vision import is_stacked
from siglip_core.errors import CheckpointError
from siglip_core.layouts import big_vision, hf, open_clip
from siglip_core.model import Siglip
from siglip_core.variants import Spec

State = dict[str, Tensor]

_FLOATS = (torch.float32, torch.float16, torch.bfloat16)


def read(path: Path, spec: Spec) -> State:
    """The weights in a folder or .npz file, by the names of model.Siglip's parameters, in the dtype of the file.

    Takes the layouts of transformers, open_clip and big_vision, known by the names of the tensors. Raises
    CheckpointError if a file is absent, truncated or of another kind, or if its tensors are not exactly those that
    `spec` asks for.
    """
    source, tensors = weight_files.read(path)
    return convert(tensors, spec, source)


def convert(tensors: Mapping[str, Tensor], spec: Spec, source: Path) -> State:
    """Tensors of any published layout -> ours. Raises CheckpointError naming each tensor that does not fit."""
    entries = {entry.theirs: entry for entry in _layout(tensors, spec)}
    missing = [name for name in entries if name not in tensors]
    unexpected = [name for name in tensors if name not in entries and name not in hf.BUFFERS]
    if missing or unexpected:
        parts = [f"lacks {_few(missing)}"] if missing else []
        parts += [f"holds {_few(unexpected)}, which the model has no place for"] if unexpected else []
        raise CheckpointError(f"{source}: {' and '.join(parts)}; the config describes another model than these weights")
    state: State = {}
    for name, entry in entries.items():
        tensor = tensors[name]
        if tuple(tensor.shape) != entry.shape:
            raise CheckpointError(
                f"{source}: {name} has shape {list(tensor.shape)}, the config asks for {list(entry.shape)}; "
                "one of the two belongs to another model"
            )
        if tensor.dtype not in _FLOATS:
            raise CheckpointError(
                f"{source}: {name} is stored as {str(tensor.dtype).removeprefix('torch.')}; "
                "only float32, float16 and bfloat16 weights are supported"
            )
        state.update(zip(entry.ours, entry.split(tensor), strict=True))
    return _with_text_head(state, spec)


def weights_digest(state: Mapping[str, Tensor]) -> str:
    """sha256 (64 hex digits) of a state dict by our names, the same whichever layout or float type it was stored in.

    Hashed are, sorted by name, `name`, a space, the sizes joined by `x`, a newline, and the values as little-endian
    float32. float16 and bfloat16 values are float32 values, so a file and its exact copy in float32 agree.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().to("cpu", torch.float32).contiguous()
        digest.update(f"{name} {'x'.join(map(str, tensor.shape))}\n".encode())
        digest.update(tensor.numpy().astype("<f4", copy=False).data)
    return digest.hexdigest()


def save(model: Siglip, folder: Path) -> None:
    """Writes config.json, preprocessor_config.json and model.safetensors, as transformers' SiglipModel reads them.

    The folder is made if need be; the tokenizer's file is the caller's to put beside them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = export(model.state_dict(), hf.entries(model.spec))
    hf_config.write_config(model.spec, folder)
    write_safetensors(tensors, folder / "model.safetensors")


def write_safetensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Writes a .safetensors file with the permissions of any other new file."""
    path.touch()
    permissions = path.stat().st_mode
    safetensors.torch.save_file(tensors, path, metadata={"format": "pt"})
    path.chmod(permissions)  # the library leaves it to its owner alone


def export(state: Mapping[str, Tensor], layout: Iterable[layouts.Entry]) -> dict[str, Tensor]:
    """Our state dict in a published layout, on the CPU; each tensor owns its memory."""
    return {
        entry.theirs: entry.join([state[name].detach().cpu() for name in entry.ours]).clone(
            memory_format=torch.contiguous_format
        )
        for entry in layout
    }


def _layout(tensors: Mapping[str, Tensor], spec: Spec) -> list[layouts.Entry]:
    """The layout that the names belong to; transformers' if none, whose missing names then tell the story."""
    if any(name.startswith("visual.trunk.") for name in tensors):
        return open_clip.entries(spec, text_head="text.text_projection.weight" in tensors)
    prefix = "params/" if any(name.startswith("params/") for name in tensors) else ""
    if any(name.startswith(f"{prefix}img/") for name in tensors):
        shapes = {name.removeprefix(prefix): tuple(tensor.shape) for name, tensor in tensors.items()}
        return big_vision.entries(
            spec,
            prefix,
            image_stacked=is_stacked(shapes, "img/Transformer"),
            text_stacked=is_stacked(shapes, "txt/Encoder_0"),
            text_head="txt/head/kernel" in shapes,
        )
    return hf.entries(spec)


def _with_text_head(state: State, spec: Spec) -> State:
    """So400m i18n was trained without a text head, and transformers' copy of it has the identity there."""
    if "text.head.weight" in state or spec.text.width != spec.embedding_dim:
        return state
    width = spec.text.width
    return {**state, "text.head.weight": torch.eye(width), "text.head.bias": torch.zeros(width)}


def _few(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"

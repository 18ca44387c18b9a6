"""Converts weight files to a state dict of model.Siglip, and back.

Reading is strict: every tensor of the file is used, none is missing, and every shape matches the spec. Files of
safetensors are memory-mapped: they use address space, but no memory until the model is moved to its device.
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

    Accepts the layouts of transformers, open_clip and big_vision; the names of the tensors show which one it is.

    Raises:
        CheckpointError: a file is missing, truncated or of another format, or its tensors are not exactly those of
            `spec`.
    """
    source, tensors = weight_files.read(path)
    return convert(tensors, spec, source)


def convert(tensors: Mapping[str, Tensor], spec: Spec, source: Path) -> State:
    """Tensors of any published layout -> our state dict. Raises CheckpointError that names the tensors that differ."""
    entries = {entry.theirs: entry for entry in _layout(tensors, spec)}
    missing = [name for name in entries if name not in tensors]
    unexpected = [name for name in tensors if name not in entries and name not in hf.BUFFERS]
    if missing or unexpected:
        parts = [f"lacks {_few(missing)}"] if missing else []
        parts += [f"has {_few(unexpected)}, which the model does not use"] if unexpected else []
        raise CheckpointError(f"{source}: {' and '.join(parts)}; the config and the weights belong to different models")
    state: State = {}
    for name, entry in entries.items():
        tensor = tensors[name]
        if tuple(tensor.shape) != entry.shape:
            raise CheckpointError(
                f"{source}: {name} has shape {list(tensor.shape)}, but the config requires {list(entry.shape)}; "
                "the config and the weights belong to different models"
            )
        if tensor.dtype not in _FLOATS:
            raise CheckpointError(
                f"{source}: {name} is stored as {str(tensor.dtype).removeprefix('torch.')}; "
                "only float32, float16 and bfloat16 weights are supported"
            )
        state.update(zip(entry.ours, entry.split(tensor), strict=True))
    return _with_text_head(state, spec)


def weights_digest(state: Mapping[str, Tensor]) -> str:
    """sha256 (64 hex digits) of a state dict by our names; it does not depend on the layout or float type of the file.

    The hash covers, for each tensor in order of name: the name, a space, the sizes joined by `x`, a newline, and the
    values as little-endian float32. float32 represents every float16 and bfloat16 value exactly, so a file and its
    float32 copy have the same digest.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().to("cpu", torch.float32).contiguous()
        digest.update(f"{name} {'x'.join(map(str, tensor.shape))}\n".encode())
        digest.update(tensor.numpy().astype("<f4", copy=False).data)
    return digest.hexdigest()


def save(model: Siglip, folder: Path) -> None:
    """Writes config.json, preprocessor_config.json and model.safetensors, which transformers' SiglipModel can read.

    Creates the folder if needed. The caller adds the tokenizer's file.
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
    path.chmod(permissions)  # the library makes the file readable by its owner only


def export(state: Mapping[str, Tensor], layout: Iterable[layouts.Entry]) -> dict[str, Tensor]:
    """Our state dict in a published layout, on the CPU. No two tensors share memory."""
    return {
        entry.theirs: entry.join([state[name].detach().cpu() for name in entry.ours]).clone(
            memory_format=torch.contiguous_format
        )
        for entry in layout
    }


def _layout(tensors: Mapping[str, Tensor], spec: Spec) -> list[layouts.Entry]:
    """The layout that the names belong to. If none fits, transformers', so that the error lists its missing names."""
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
    """So400m i18n was trained without a text head. transformers' copy has the identity as its head, and so has ours."""
    if "text.head.weight" in state or spec.text.width != spec.embedding_dim:
        return state
    width = spec.text.width
    return {**state, "text.head.weight": torch.eye(width), "text.head.bias": torch.zeros(width)}


def _few(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"

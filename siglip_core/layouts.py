"""Where each parameter of model.py lies in published checkpoints, and in what shape.

A layout is a list of entries, one for each tensor of a published file; an entry says which of our parameters
the tensor holds and how to cut it up and to put it together again. Reading, writing, strictness and error
messages all work off such a list, so a new layout is a new list.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from siglip_core.variants import Spec, TextSpec, VisionSpec


@dataclass(frozen=True)
class Entry:
    """`theirs`, a tensor of `shape`, holds our parameters `ours`: split gives ours, join gives theirs."""

    theirs: str
    shape: tuple[int, ...]
    ours: tuple[str, ...]
    split: Callable[[Tensor], Sequence[Tensor]] = lambda theirs: [theirs]
    join: Callable[[Sequence[Tensor]], Tensor] = lambda ours: ours[0]


def affine(theirs: str, ours: str, *shape: int) -> list[Entry]:
    """Weight of `shape` and bias of its first size, the same on both sides: nn.Linear, nn.LayerNorm."""
    return [
        Entry(f"{theirs}.weight", shape, (f"{ours}.weight",)),
        Entry(f"{theirs}.bias", shape[:1], (f"{ours}.bias",)),
    ]


def fused(theirs: str, shape: tuple[int, ...], ours: tuple[str, ...]) -> Entry:
    """Several of our parameters stacked along the first axis."""
    return Entry(theirs, shape, ours, lambda tensor: tensor.chunk(len(ours)), lambda parts: torch.cat(list(parts)))


def convolution(theirs: str, ours: str, vision: VisionSpec) -> Entry:
    """A patch embedding stored as a convolution [D, C, ph, pw]; ours is Linear over (ph, pw, C)."""
    patch, width = vision.patch_size, vision.width
    return Entry(
        theirs,
        (width, 3, patch, patch),
        (ours,),
        lambda tensor: [tensor.permute(0, 2, 3, 1).reshape(width, -1)],
        lambda ours: ours[0].reshape(width, patch, patch, 3).permute(0, 3, 1, 2).contiguous(),
    )


# Buffers that older versions of transformers stored; they hold 0, 1, 2, ... and are not parameters.
HF_BUFFERS = frozenset(
    {"vision_model.embeddings.position_ids", "text_model.embeddings.position_ids"},
)


def hf(spec: Spec) -> list[Entry]:
    """transformers' `SiglipModel`, in which SigLIP and fixed-resolution SigLIP 2 are published as
    safetensors.
    """
    vision, text = spec.vision, spec.text
    return [
        Entry("logit_scale", (1,), ("logit_scale",)),
        Entry("logit_bias", (1,), ("logit_bias",)),
        convolution("vision_model.embeddings.patch_embedding.weight", "image.patch_embedding.weight", vision),
        Entry("vision_model.embeddings.patch_embedding.bias", (vision.width,), ("image.patch_embedding.bias",)),
        Entry(
            "vision_model.embeddings.position_embedding.weight",
            (vision.tokens, vision.width),
            ("image.position_embedding",),
        ),
        *_hf_blocks("vision_model", "image", vision),
        *affine("vision_model.post_layernorm", "image.norm", vision.width),
        *_hf_map_head(vision),
        Entry(
            "text_model.embeddings.token_embedding.weight",
            (text.vocab_size, text.width),
            ("text.token_embedding.weight",),
        ),
        Entry(
            "text_model.embeddings.position_embedding.weight",
            (text.length, text.width),
            ("text.position_embedding",),
        ),
        *_hf_blocks("text_model", "text", text),
        *affine("text_model.final_layer_norm", "text.norm", text.width),
        *affine("text_model.head", "text.head", text.embedding_dim, text.width),
    ]


def _hf_blocks(theirs: str, ours: str, tower: VisionSpec | TextSpec) -> list[Entry]:
    width, mlp = tower.width, tower.mlp
    entries = []
    for i in range(tower.depth):
        block, layer = f"{ours}.blocks.{i}", f"{theirs}.encoder.layers.{i}"
        entries += affine(f"{layer}.layer_norm1", f"{block}.norm1", width)
        entries += affine(f"{layer}.self_attn.q_proj", f"{block}.attention.query", width, width)
        entries += affine(f"{layer}.self_attn.k_proj", f"{block}.attention.key", width, width)
        entries += affine(f"{layer}.self_attn.v_proj", f"{block}.attention.value", width, width)
        entries += affine(f"{layer}.self_attn.out_proj", f"{block}.attention.out", width, width)
        entries += affine(f"{layer}.layer_norm2", f"{block}.norm2", width)
        entries += affine(f"{layer}.mlp.fc1", f"{block}.mlp.fc1", mlp, width)
        entries += affine(f"{layer}.mlp.fc2", f"{block}.mlp.fc2", width, mlp)
    return entries


def _hf_map_head(vision: VisionSpec) -> list[Entry]:
    """torch.nn.MultiheadAttention keeps query, key and value in one tensor."""
    width, mlp, head = vision.width, vision.mlp, "vision_model.head"
    parts = [f"image.head.attention.{part}" for part in ("query", "key", "value")]
    return [
        Entry(f"{head}.probe", (1, 1, width), ("image.head.probe",)),
        fused(f"{head}.attention.in_proj_weight", (3 * width, width), tuple(f"{part}.weight" for part in parts)),
        fused(f"{head}.attention.in_proj_bias", (3 * width,), tuple(f"{part}.bias" for part in parts)),
        *affine(f"{head}.attention.out_proj", "image.head.attention.out", width, width),
        *affine(f"{head}.layernorm", "image.head.norm", width),
        *affine(f"{head}.mlp.fc1", "image.head.mlp.fc1", mlp, width),
        *affine(f"{head}.mlp.fc2", "image.head.mlp.fc2", width, mlp),
    ]

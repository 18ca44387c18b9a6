"""big_vision's `.npz`: the original weights, as flax stores them.

Files differ in three ways:
- Names may begin with `params/`.
- The blocks of a tower are either numbered, or stacked along the first axis of the tensors of one `encoderblock`
  (nn.scan). They are stacked in all SigLIP 2 models, and in the image tower of some SigLIP models.
- The text head may be missing (So400m i18n). Our head is then the identity.

A flax kernel is [inputs, outputs].
"""

import torch

from siglip_core.layouts import Entry, reshaped
from siglip_core.variants import Spec, TextSpec, VisionSpec


def entries(
    spec: Spec,
    prefix: str = "",
    image_stacked: bool = False,
    text_stacked: bool = False,
    text_head: bool = True,
) -> list[Entry]:
    vision, text = spec.vision, spec.text
    img, txt = f"{prefix}img", f"{prefix}txt"
    positions = (text.length, text.width)
    return [
        Entry(f"{prefix}t", (1,), ("logit_scale",)),
        Entry(f"{prefix}b", (1,), ("logit_bias",)),
        *_stem(img, vision),
        *_blocks(f"{img}/Transformer", "image", vision, image_stacked),
        *_norm(f"{img}/Transformer/encoder_norm", "image.norm", vision.width),
        *_map_head(f"{img}/MAPHead_0", vision),
        Entry(f"{txt}/Embed_0/embedding", (text.vocab_size, text.width), ("text.token_embedding.weight",)),
        reshaped(f"{txt}/pos_embedding", (1, *positions), "text.position_embedding", positions),
        *_blocks(f"{txt}/Encoder_0", "text", text, text_stacked),
        *_norm(f"{txt}/Encoder_0/encoder_norm", "text.norm", text.width),
        *(_dense(f"{txt}/head", "text.head", text.width, text.embedding_dim) if text_head else []),
    ]


def _stem(img: str, vision: VisionSpec) -> list[Entry]:
    width, patch, grid = vision.width, vision.patch_size, vision.grid
    kernel = (3 * patch**2, width) if vision.naflex else (patch, patch, 3, width)
    positions = (grid, grid, width) if vision.naflex else (1, vision.tokens, width)
    return [
        _transposed(f"{img}/embedding/kernel", kernel, "image.patch_embedding.weight", 3 * patch**2, width),
        Entry(f"{img}/embedding/bias", (width,), ("image.patch_embedding.bias",)),
        reshaped(f"{img}/pos_embedding", positions, "image.position_embedding", (vision.tokens, width)),
    ]


def _blocks(theirs: str, ours: str, tower: VisionSpec | TextSpec, stacked: bool) -> list[Entry]:
    blocks = [_block(f"{theirs}/encoderblock_{i}", f"{ours}.blocks.{i}", tower) for i in range(tower.depth)]
    if not stacked:
        return [entry for block in blocks for entry in block]
    first = f"{theirs}/encoderblock_0/"
    return [
        _stack(f"{theirs}/encoderblock/{layers[0].theirs.removeprefix(first)}", list(layers))
        for layers in zip(*blocks, strict=True)
    ]


def _stack(theirs: str, layers: list[Entry]) -> Entry:
    """The same tensor of every block, stacked along a new first axis."""
    return Entry(
        theirs,
        (len(layers), *layers[0].shape),
        tuple(name for layer in layers for name in layer.ours),
        lambda tensor: [part for layer, row in zip(layers, tensor, strict=True) for part in layer.split(row)],
        lambda parts: torch.stack([layer.join([part]) for layer, part in zip(layers, parts, strict=True)]),
    )


def _block(theirs: str, ours: str, tower: VisionSpec | TextSpec) -> list[Entry]:
    return [
        *_norm(f"{theirs}/LayerNorm_0", f"{ours}.norm1", tower.width),
        *_attention(f"{theirs}/MultiHeadDotProductAttention_0", f"{ours}.attention", tower),
        *_norm(f"{theirs}/LayerNorm_1", f"{ours}.norm2", tower.width),
        *_mlp(f"{theirs}/MlpBlock_0", f"{ours}.mlp", tower),
    ]


def _map_head(theirs: str, vision: VisionSpec) -> list[Entry]:
    return [
        Entry(f"{theirs}/probe", (1, 1, vision.width), ("image.head.probe",)),
        *_attention(f"{theirs}/MultiHeadDotProductAttention_0", "image.head.attention", vision),
        *_norm(f"{theirs}/LayerNorm_0", "image.head.norm", vision.width),
        *_mlp(f"{theirs}/MlpBlock_0", "image.head.mlp", vision),
    ]


def _attention(theirs: str, ours: str, tower: VisionSpec | TextSpec) -> list[Entry]:
    """flax stores the heads on an axis of their own: query, key, value [D, N, K], out [N, K, D]."""
    width, heads = tower.width, tower.heads
    head = width // heads
    entries = []
    for part in ("query", "key", "value"):
        kernel = (width, heads, head)
        entries += [
            _transposed(f"{theirs}/{part}/kernel", kernel, f"{ours}.{part}.weight", width, width),
            reshaped(f"{theirs}/{part}/bias", (heads, head), f"{ours}.{part}.bias", (width,)),
        ]
    return [
        *entries,
        _transposed(f"{theirs}/out/kernel", (heads, head, width), f"{ours}.out.weight", width, width),
        Entry(f"{theirs}/out/bias", (width,), (f"{ours}.out.bias",)),
    ]


def _mlp(theirs: str, ours: str, tower: VisionSpec | TextSpec) -> list[Entry]:
    return [
        *_dense(f"{theirs}/Dense_0", f"{ours}.fc1", tower.width, tower.mlp),
        *_dense(f"{theirs}/Dense_1", f"{ours}.fc2", tower.mlp, tower.width),
    ]


def _norm(theirs: str, ours: str, width: int) -> list[Entry]:
    return [
        Entry(f"{theirs}/scale", (width,), (f"{ours}.weight",)),
        Entry(f"{theirs}/bias", (width,), (f"{ours}.bias",)),
    ]


def _dense(theirs: str, ours: str, inputs: int, outputs: int) -> list[Entry]:
    return [
        _transposed(f"{theirs}/kernel", (inputs, outputs), f"{ours}.weight", inputs, outputs),
        Entry(f"{theirs}/bias", (outputs,), (f"{ours}.bias",)),
    ]


def _transposed(theirs: str, shape: tuple[int, ...], ours: str, inputs: int, outputs: int) -> Entry:
    """A kernel of any shape that flattens to [inputs, outputs]; ours is [outputs, inputs]."""
    return Entry(
        theirs,
        shape,
        (ours,),
        lambda tensor: [tensor.reshape(inputs, outputs).T],
        lambda parts: parts[0].T.reshape(shape),
    )

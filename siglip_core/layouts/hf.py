"""transformers' `SiglipModel` and, for NaFlex, `Siglip2Model`: the layout of Google's weights on the Hub."""

from siglip_core.layouts import Entry, affine, convolution, fused
from siglip_core.variants import Spec, TextSpec, VisionSpec

# Buffers that older versions of transformers stored. They contain 0, 1, 2, … and are not parameters.
BUFFERS = frozenset({"vision_model.embeddings.position_ids", "text_model.embeddings.position_ids"})


def entries(spec: Spec) -> list[Entry]:
    vision, text = spec.vision, spec.text
    image, words = "vision_model.embeddings", "text_model.embeddings"
    return [
        Entry("logit_scale", (1,), ("logit_scale",)),
        Entry("logit_bias", (1,), ("logit_bias",)),
        _patches(f"{image}.patch_embedding.weight", vision),
        Entry(f"{image}.patch_embedding.bias", (vision.width,), ("image.patch_embedding.bias",)),
        Entry(
            f"{image}.position_embedding.weight",
            (vision.tokens, vision.width),
            ("image.position_embedding",),
        ),
        *_blocks("vision_model", "image", vision),
        *affine("vision_model.post_layernorm", "image.norm", vision.width),
        *_map_head(vision),
        Entry(f"{words}.token_embedding.weight", (text.vocab_size, text.width), ("text.token_embedding.weight",)),
        Entry(f"{words}.position_embedding.weight", (text.length, text.width), ("text.position_embedding",)),
        *_blocks("text_model", "text", text),
        *affine("text_model.final_layer_norm", "text.norm", text.width),
        *affine("text_model.head", "text.head", text.embedding_dim, text.width),
    ]


def _patches(theirs: str, vision: VisionSpec) -> Entry:
    ours = "image.patch_embedding.weight"
    if vision.naflex:
        return Entry(theirs, (vision.width, 3 * vision.patch_size**2), (ours,))
    return convolution(theirs, ours, vision.width, vision.patch_size)


def _blocks(theirs: str, ours: str, tower: VisionSpec | TextSpec) -> list[Entry]:
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


def _map_head(vision: VisionSpec) -> list[Entry]:
    width, mlp = vision.width, vision.mlp
    theirs, ours = "vision_model.head", "image.head"
    qkv = (f"{ours}.attention.query", f"{ours}.attention.key", f"{ours}.attention.value")
    return [
        Entry(f"{theirs}.probe", (1, 1, width), (f"{ours}.probe",)),
        *fused(f"{theirs}.attention.in_proj_weight", f"{theirs}.attention.in_proj_bias", qkv, width),
        *affine(f"{theirs}.attention.out_proj", f"{ours}.attention.out", width, width),
        *affine(f"{theirs}.layernorm", f"{ours}.norm", width),
        *affine(f"{theirs}.mlp.fc1", f"{ours}.mlp.fc1", mlp, width),
        *affine(f"{theirs}.mlp.fc2", f"{ours}.mlp.fc2", width, mlp),
    ]

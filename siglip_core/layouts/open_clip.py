"""open_clip's `CustomTextCLIP`: timm's ViT as `visual.trunk`, open_clip's own text tower as `text`.

Scale and bias are scalars. A text tower without `text_projection` (So400m i18n) ends with its norm; our head is then
the identity.
"""

from siglip_core.layouts import Entry, affine, convolution, fused, reshaped
from siglip_core.variants import Spec, TextSpec, VisionSpec


def entries(spec: Spec, text_head: bool = True) -> list[Entry]:
    vision, text = spec.vision, spec.text
    head = affine("text.text_projection", "text.head", text.embedding_dim, text.width) if text_head else []
    return [
        reshaped("logit_scale", (), "logit_scale", (1,)),
        reshaped("logit_bias", (), "logit_bias", (1,)),
        *_stem(vision),
        *_image_blocks(vision),
        *affine("visual.trunk.norm", "image.norm", vision.width),
        *_map_head(vision),
        Entry("text.token_embedding.weight", (text.vocab_size, text.width), ("text.token_embedding.weight",)),
        Entry("text.positional_embedding", (text.length, text.width), ("text.position_embedding",)),
        *_text_blocks(text),
        *affine("text.ln_final", "text.norm", text.width),
        *head,
    ]


def _stem(vision: VisionSpec) -> list[Entry]:
    width, patch, ours = vision.width, vision.patch_size, "image.patch_embedding"
    positions = (vision.tokens, width)
    if vision.naflex:
        stem, side = "visual.trunk.embeds", vision.grid
        return [
            *affine(f"{stem}.proj", ours, width, 3 * patch**2),
            reshaped(f"{stem}.pos_embed", (1, side, side, width), "image.position_embedding", positions),
        ]
    return [
        convolution("visual.trunk.patch_embed.proj.weight", f"{ours}.weight", width, patch),
        Entry("visual.trunk.patch_embed.proj.bias", (width,), (f"{ours}.bias",)),
        reshaped("visual.trunk.pos_embed", (1, *positions), "image.position_embedding", positions),
    ]


def _image_blocks(vision: VisionSpec) -> list[Entry]:
    width, mlp = vision.width, vision.mlp
    entries = []
    for i in range(vision.depth):
        theirs, ours = f"visual.trunk.blocks.{i}", f"image.blocks.{i}"
        entries += affine(f"{theirs}.norm1", f"{ours}.norm1", width)
        entries += fused(f"{theirs}.attn.qkv.weight", f"{theirs}.attn.qkv.bias", _qkv(ours), width)
        entries += affine(f"{theirs}.attn.proj", f"{ours}.attention.out", width, width)
        entries += affine(f"{theirs}.norm2", f"{ours}.norm2", width)
        entries += affine(f"{theirs}.mlp.fc1", f"{ours}.mlp.fc1", mlp, width)
        entries += affine(f"{theirs}.mlp.fc2", f"{ours}.mlp.fc2", width, mlp)
    return entries


def _map_head(vision: VisionSpec) -> list[Entry]:
    width, mlp = vision.width, vision.mlp
    theirs, ours = "visual.trunk.attn_pool", "image.head"
    return [
        Entry(f"{theirs}.latent", (1, 1, width), (f"{ours}.probe",)),
        *affine(f"{theirs}.q", f"{ours}.attention.query", width, width),
        *fused(f"{theirs}.kv.weight", f"{theirs}.kv.bias", _qkv(ours)[1:], width),
        *affine(f"{theirs}.proj", f"{ours}.attention.out", width, width),
        *affine(f"{theirs}.norm", f"{ours}.norm", width),
        *affine(f"{theirs}.mlp.fc1", f"{ours}.mlp.fc1", mlp, width),
        *affine(f"{theirs}.mlp.fc2", f"{ours}.mlp.fc2", width, mlp),
    ]


def _text_blocks(text: TextSpec) -> list[Entry]:
    width, mlp = text.width, text.mlp
    entries = []
    for i in range(text.depth):
        theirs, ours = f"text.transformer.resblocks.{i}", f"text.blocks.{i}"
        entries += affine(f"{theirs}.ln_1", f"{ours}.norm1", width)
        entries += fused(f"{theirs}.attn.in_proj_weight", f"{theirs}.attn.in_proj_bias", _qkv(ours), width)
        entries += affine(f"{theirs}.attn.out_proj", f"{ours}.attention.out", width, width)
        entries += affine(f"{theirs}.ln_2", f"{ours}.norm2", width)
        entries += affine(f"{theirs}.mlp.c_fc", f"{ours}.mlp.fc1", mlp, width)
        entries += affine(f"{theirs}.mlp.c_proj", f"{ours}.mlp.fc2", width, mlp)
    return entries


def _qkv(ours: str) -> tuple[str, str, str]:
    return (f"{ours}.attention.query", f"{ours}.attention.key", f"{ours}.attention.value")

"""config.json of transformers' `SiglipModel` and `Siglip2Model` (NaFlex).

Such a config leaves out every value that equals the default of `SiglipConfig`, which is B/16-224.
"""

import json
from math import isqrt
from pathlib import Path

from siglip_core.configs import hf_preprocessor
from siglip_core.configs.json_file import Section, read_object
from siglip_core.errors import CheckpointError
from siglip_core.variants import Spec, TextSpec, VisionSpec


def read_spec(folder: Path) -> Spec:
    """The spec from config.json and preprocessor_config.json; without the second, transformers' default is used."""
    path = folder / "config.json"
    config = read_object(path)
    kind = config.get("model_type")
    if kind not in ("siglip", "siglip2"):
        raise CheckpointError(
            f"{path}: model_type is {kind!r}, not 'siglip' or 'siglip2'; give the folder of a SigLIP model"
        )
    section = Section(path, "vision_config", config)
    # SigLIP 2 of fixed resolution is published as `siglip`; only NaFlex is `siglip2`.
    vision = _naflex_spec(section) if kind == "siglip2" else _vision_spec(section)
    text = _text_spec(Section(path, "text_config", config))
    if text.embedding_dim != vision.width:
        raise CheckpointError(
            f"{path}: text embeddings would have {text.embedding_dim} numbers (text_config.projection_size, or "
            f"hidden_size if that is missing), but image embeddings {vision.width} (vision_config.hidden_size); set "
            f"text_config.projection_size to {vision.width}"
        )
    return Spec(folder.resolve().name, vision, text, hf_preprocessor.read(folder, vision))


def write_config(spec: Spec, folder: Path) -> None:
    """Writes config.json and preprocessor_config.json with every key, also those that equal the default."""
    kind = "siglip2" if spec.vision.naflex else "siglip"
    size = {"num_patches": spec.vision.tokens} if spec.vision.naflex else {"image_size": spec.vision.resolution}
    config = {
        "architectures": ["Siglip2Model" if spec.vision.naflex else "SiglipModel"],
        "model_type": kind,
        "vision_config": {
            "model_type": f"{kind}_vision_model",
            **_tower_config(spec.vision),
            "patch_size": spec.vision.patch_size,
            **size,
            "num_channels": 3,
        },
        "text_config": {
            "model_type": f"{kind}_text_model",
            **_tower_config(spec.text),
            "vocab_size": spec.text.vocab_size,
            "max_position_embeddings": spec.text.length,
            "projection_size": spec.text.embedding_dim,
        },
    }
    preprocessor = hf_preprocessor.as_json(spec.preprocessing)
    for name, values in (("config.json", config), ("preprocessor_config.json", preprocessor)):
        (folder / name).write_text(json.dumps(values, indent=2) + "\n")


def _sizes(section: Section) -> tuple[int, int, int, int]:
    """Width, depth, heads and hidden units of a tower."""
    section.must_be("hidden_act", "gelu_pytorch_tanh")
    section.must_be("layer_norm_eps", 1e-6)
    width, heads = section.positive("hidden_size", 768), section.positive("num_attention_heads", 12)
    if width % heads:
        raise CheckpointError(
            f"{section.path}: {section.name}.hidden_size {width} is not a multiple of num_attention_heads {heads}"
        )
    return width, section.positive("num_hidden_layers", 12), heads, section.positive("intermediate_size", 3072)


def _vision_spec(section: Section) -> VisionSpec:
    section.must_be("num_channels", 3)
    section.must_be("vision_use_head", True)
    resolution, patch = section.positive("image_size", 224), section.positive("patch_size", 16)
    if patch > resolution:
        raise CheckpointError(
            f"{section.path}: vision_config.patch_size {patch} is larger than image_size {resolution}"
        )
    return VisionSpec(*_sizes(section), patch, resolution)


def _naflex_spec(section: Section) -> VisionSpec:
    section.must_be("num_channels", 3)
    section.must_be("vision_use_head", True)
    positions, patch = section.positive("num_patches", 256), section.positive("patch_size", 16)
    if isqrt(positions) ** 2 != positions:
        raise CheckpointError(
            f"{section.path}: vision_config.num_patches is {positions}; NaFlex needs a square number, such as 256"
        )
    return VisionSpec(*_sizes(section), patch, patch * isqrt(positions), naflex=True)


def _text_spec(section: Section) -> TextSpec:
    sizes = _sizes(section)
    projected = section.values.get("projection_size") is not None
    return TextSpec(
        *sizes,
        vocab_size=section.positive("vocab_size", 32000),
        length=section.positive("max_position_embeddings", 64),
        embedding_dim=section.positive("projection_size", None) if projected else sizes[0],
    )


def _tower_config(tower: VisionSpec | TextSpec) -> dict[str, object]:
    return {
        "hidden_size": tower.width,
        "num_hidden_layers": tower.depth,
        "num_attention_heads": tower.heads,
        "intermediate_size": tower.mlp,
        "hidden_act": "gelu_pytorch_tanh",
        "layer_norm_eps": 1e-6,
    }

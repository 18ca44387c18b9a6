"""open_clip_config.json: the image tower is the name of a timm model, the text tower is given by its sizes."""

import re
from pathlib import Path

from siglip_core.configs.json_file import Section, read_object
from siglip_core.errors import CheckpointError
from siglip_core.variants import (
    SIZES,
    Preprocessing,
    PreprocessingName,
    Spec,
    TextSpec,
    VisionSpec,
    naflex_preprocessing,
)

_INTERPOLATION: dict[str, PreprocessingName] = {"bicubic": "hf-bicubic-aa", "bilinear": "hf-bilinear-aa"}


def read_spec(folder: Path) -> Spec:
    path = folder / "open_clip_config.json"
    config = read_object(path)
    model = Section(path, "model_cfg", config)
    vision = _vision_spec(Section(path, "vision_cfg", model.values))
    text = _text_spec(Section(path, "text_cfg", model.values), model.positive("embed_dim", None))
    if text.embedding_dim != vision.width:
        raise CheckpointError(
            f"{path}: model_cfg.embed_dim is {text.embedding_dim}, but the image tower is {vision.width} wide; "
            "use the config published with the weights"
        )
    return Spec(folder.resolve().name, vision, text, _preprocessing(path, config, vision))


def _vision_spec(section: Section) -> VisionSpec:
    name = section.values.get("timm_model_name")
    found = re.fullmatch(r"(naflex)?vit_(base|large|so400m|giantopt)_patch(\d+)_siglip(_\d+)?", str(name))
    if found is None:
        raise CheckpointError(
            f"{section.path}: vision_cfg.timm_model_name is {name!r}, not one of timm's SigLIP towers "
            "(vit_base_patch16_siglip_224, …); give the folder of a SigLIP model"
        )
    naflex, size, patch = found[1] is not None, found[2].replace("giantopt", "giant-opt"), int(found[3])
    return VisionSpec(*SIZES[size], patch, section.positive("image_size", 224), naflex)


def _text_spec(section: Section, embedding_dim: int) -> TextSpec:
    section.must_be("no_causal_mask", True)
    section.must_be("pool_type", "last")
    width = section.positive("width", 512)
    ratio = section.values.get("mlp_ratio", 4.0)
    return TextSpec(
        width,
        section.positive("layers", 12),
        section.positive("heads", 8),
        int(width * ratio),  # 1152 * 3.7362 is So400m's 4304
        vocab_size=section.positive("vocab_size", 49408),
        length=section.positive("context_length", 77),
        embedding_dim=embedding_dim,
    )


def _preprocessing(path: Path, config: dict[str, object], vision: VisionSpec) -> Preprocessing:
    if vision.naflex:
        return naflex_preprocessing(vision.patch_size, 256)
    section = Section(path, "preprocess_cfg", config)
    section.must_be("mean", [0.5, 0.5, 0.5])
    section.must_be("std", [0.5, 0.5, 0.5])
    section.must_be("resize_mode", "squash")
    interpolation = section.values.get("interpolation", "bicubic")
    if interpolation not in _INTERPOLATION:
        raise CheckpointError(
            f"{path}: preprocess_cfg.interpolation is {interpolation!r}; bicubic and bilinear are supported"
        )
    return Preprocessing(_INTERPOLATION[interpolation], vision.resolution)

"""Model folders' JSON, in the layout that transformers' `SiglipModel` publishes: read into a Spec, and
written.

Such a config leaves out whatever equals the default of `SiglipConfig`, which is B/16-224.
"""

import json
from pathlib import Path
from typing import Any

from siglip_core.errors import CheckpointError
from siglip_core.variants import Preprocessing, PreprocessingName, Spec, TextSpec, VisionSpec


def read_spec(folder: Path) -> Spec:
    """The spec of a model folder.

    Raises CheckpointError, naming the file and the key, if config.json is absent, broken, of another kind of
    model, or contradicts itself or preprocessor_config.json. Without a preprocessor_config.json the
    preprocessing is transformers' default for SigLIP, bicubic.
    """
    path = folder / "config.json"
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder; give a folder with config.json and model.safetensors")
    config = _read_json(path)
    if config.get("model_type") != "siglip":
        raise CheckpointError(
            f"{path}: model_type is {config.get('model_type')!r}, not 'siglip'; give a SigLIP model's folder"
        )
    vision = _vision_spec(_Section(path, "vision_config", config))
    text = _text_spec(_Section(path, "text_config", config))
    if text.embedding_dim != vision.width:
        raise CheckpointError(
            f"{path}: text embeddings would have {text.embedding_dim} numbers "
            "(text_config.projection_size, or "
            f"hidden_size where that is absent), image embeddings {vision.width} "
            "(vision_config.hidden_size); "
            "set text_config.projection_size to the image's"
        )
    return Spec(folder.resolve().name, vision, text, _preprocessing(folder, vision.resolution))


class _Section:
    """One tower's part of config.json: values by key, with the default of transformers' config, checked."""

    def __init__(self, path: Path, name: str, config: dict[str, Any]) -> None:
        self.path = path
        self.name = name
        values = config.get(name)
        if values is None:
            values = {}  # a whole section left out: B/16-224's
        if not isinstance(values, dict):
            raise CheckpointError(f"{path}: {name} must be an object, not {type(values).__name__}")
        self.values: dict[str, Any] = values

    def positive(self, key: str, default: int) -> int:
        value = self.values.get(key, default)
        if isinstance(value, list) and len(value) == 2 and value[0] == value[1]:
            value = value[0]  # [224, 224] for a square size
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise CheckpointError(f"{self.path}: {self.name}.{key} is {value!r}; it must be one positive whole number")
        return value

    def must_be(self, key: str, wanted: object) -> None:
        """Refuses what this implementation does not compute, instead of computing something else."""
        value = self.values.get(key, wanted)
        if value != wanted:
            raise CheckpointError(
                f"{self.path}: {self.name}.{key} is {value!r}; every SigLIP has {wanted!r}, and no other is supported"
            )

    def sizes(self) -> dict[str, int]:
        self.must_be("hidden_act", "gelu_pytorch_tanh")
        self.must_be("layer_norm_eps", 1e-6)
        width, heads = self.positive("hidden_size", 768), self.positive("num_attention_heads", 12)
        if width % heads:
            raise CheckpointError(
                f"{self.path}: {self.name}.hidden_size {width} is not a multiple of num_attention_heads {heads}"
            )
        depth, mlp = self.positive("num_hidden_layers", 12), self.positive("intermediate_size", 3072)
        return {"width": width, "depth": depth, "heads": heads, "mlp": mlp}


def _vision_spec(section: _Section) -> VisionSpec:
    section.must_be("num_channels", 3)
    section.must_be("vision_use_head", True)
    resolution, patch = section.positive("image_size", 224), section.positive("patch_size", 16)
    if patch > resolution:
        raise CheckpointError(
            f"{section.path}: vision_config.patch_size {patch} is larger than image_size {resolution}"
        )
    return VisionSpec(**section.sizes(), patch_size=patch, resolution=resolution)


def _text_spec(section: _Section) -> TextSpec:
    sizes = section.sizes()
    if section.values.get("projection_size") is None:
        embedding_dim = sizes["width"]
    else:
        embedding_dim = section.positive("projection_size", sizes["width"])
    return TextSpec(
        **sizes,
        vocab_size=section.positive("vocab_size", 32000),
        length=section.positive("max_position_embeddings", 64),
        embedding_dim=embedding_dim,
    )


# PIL's codes, as preprocessor_config.json stores them.
_RESAMPLE: dict[int, PreprocessingName] = {2: "hf-bilinear-aa", 3: "hf-bicubic-aa"}


def _preprocessing(folder: Path, resolution: int) -> Preprocessing:
    path = folder / "preprocessor_config.json"
    if not path.exists():
        return Preprocessing("hf-bicubic-aa", resolution)
    config = _read_json(path)
    for key, wanted in _fixed_preprocessing(resolution).items():
        if config.get(key, wanted) != wanted:
            raise CheckpointError(f"{path}: {key} is {config[key]!r}, but this model needs {wanted!r}; mend the file")
    resample = config.get("resample", 3)
    if resample not in _RESAMPLE:
        raise CheckpointError(f"{path}: resample is {resample!r}; 2 (bilinear) and 3 (bicubic) are supported")
    return Preprocessing(_RESAMPLE[resample], resolution)


def _fixed_preprocessing(resolution: int) -> dict[str, object]:
    """What every fixed-resolution SigLIP shares: squash to a square, then [-1, 1]."""
    return {
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "size": {"height": resolution, "width": resolution},
    }


def write_config(spec: Spec, folder: Path) -> None:
    """Writes config.json and preprocessor_config.json, every key spelled out."""
    config = {
        "architectures": ["SiglipModel"],
        "model_type": "siglip",
        "vision_config": {
            "model_type": "siglip_vision_model",
            **_tower_config(spec.vision),
            "patch_size": spec.vision.patch_size,
            "image_size": spec.vision.resolution,
            "num_channels": 3,
        },
        "text_config": {
            "model_type": "siglip_text_model",
            **_tower_config(spec.text),
            "vocab_size": spec.text.vocab_size,
            "max_position_embeddings": spec.text.length,
            "projection_size": spec.text.embedding_dim,
        },
    }
    resample = next(code for code, name in _RESAMPLE.items() if name == spec.preprocessing.name)
    preprocessor = {
        "image_processor_type": "SiglipImageProcessor",
        **_fixed_preprocessing(spec.vision.resolution),
        "rescale_factor": 1 / 255,
        "resample": resample,
    }
    for name, values in (("config.json", config), ("preprocessor_config.json", preprocessor)):
        (folder / name).write_text(json.dumps(values, indent=2) + "\n")


def _tower_config(tower: VisionSpec | TextSpec) -> dict[str, object]:
    return {
        "hidden_size": tower.width,
        "num_hidden_layers": tower.depth,
        "num_attention_heads": tower.heads,
        "intermediate_size": tower.mlp,
        "hidden_act": "gelu_pytorch_tanh",
        "layer_norm_eps": 1e-6,
    }


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise CheckpointError(
            f"{path}: no such file; the folder needs the config.json published beside the weights"
        ) from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON: {error}; fetch the file again") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: holds a JSON {type(value).__name__}, not an object; fetch the file again")
    return value

"""preprocessor_config.json of transformers' SiglipImageProcessor and, for NaFlex, Siglip2ImageProcessor."""

from pathlib import Path

from siglip_core.configs.json_file import Section, read_object
from siglip_core.errors import CheckpointError
from siglip_core.variants import Preprocessing, PreprocessingName, VisionSpec, naflex_preprocessing

# Pillow's codes for resampling
_NAMES: dict[int, PreprocessingName] = {2: "hf-bilinear-aa", 3: "hf-bicubic-aa"}
_CODES: dict[PreprocessingName, int] = {
    "hf-bilinear-aa": 2,
    "hf-bicubic-aa": 3,
    "naflex-bilinear-aa": 2,
}
_SHARED: dict[str, object] = {
    "do_resize": True,
    "do_rescale": True,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}


def read(folder: Path, vision: VisionSpec) -> Preprocessing:
    """The preprocessing from the file. Without a file, transformers' default: bicubic, or NaFlex with 256 patches."""
    path = folder / "preprocessor_config.json"
    values = read_object(path) if path.exists() else {}
    config = Section(path, "preprocessor", {"preprocessor": values})
    for key, wanted in _SHARED.items():
        _require(config, key, wanted)
    if vision.naflex:
        _require(config, "patch_size", vision.patch_size)
        _require(config, "resample", _CODES["naflex-bilinear-aa"])
        return naflex_preprocessing(vision.patch_size, config.positive("max_num_patches", 256))
    _require(config, "size", {"height": vision.resolution, "width": vision.resolution})
    resample = values.get("resample", 3)
    if resample not in _NAMES:
        raise CheckpointError(f"{path}: resample is {resample!r}; 2 (bilinear) and 3 (bicubic) are supported")
    return Preprocessing(_NAMES[resample], vision.resolution)


def as_json(preprocessing: Preprocessing) -> dict[str, object]:
    """The content of the file. Raises CheckpointError for big_vision's resampling, which has no code there."""
    if preprocessing.name not in _CODES:
        raise CheckpointError(
            f"preprocessing {preprocessing.name} has no code in preprocessor_config.json; save the model with the "
            "preprocessing it was published with"
        )
    values = {**_SHARED, "rescale_factor": 1 / 255, "resample": _CODES[preprocessing.name]}
    if preprocessing.max_patches is not None:
        return {
            "image_processor_type": "Siglip2ImageProcessor",
            **values,
            "patch_size": preprocessing.patch_size,
            "max_num_patches": preprocessing.max_patches,
        }
    size = {"height": preprocessing.resolution, "width": preprocessing.resolution}
    return {"image_processor_type": "SiglipImageProcessor", **values, "size": size}


def _require(config: Section, key: str, wanted: object) -> None:
    value = config.values.get(key, wanted)
    if value != wanted:
        raise CheckpointError(f"{config.path}: {key} is {value!r}, but this model needs {wanted!r}; correct the file")

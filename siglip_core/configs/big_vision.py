"""Specs of big_vision's models. They have no config; the arrays' shapes give everything but the exact resolution."""

import zipfile
from collections.abc import Mapping
from dataclasses import replace
from math import isqrt
from pathlib import Path

from numpy.lib import format as npy

from siglip_core.errors import CheckpointError
from siglip_core.variants import (
    PUBLISHED,
    Preprocessing,
    PreprocessingName,
    Spec,
    TextSpec,
    VisionSpec,
    naflex_preprocessing,
)

Shapes = Mapping[str, tuple[int, ...]]

_GEMMA = 256000  # the size of SigLIP 2's vocabulary, which identifies it


def read_spec(path: Path) -> Spec:
    """The spec from the shapes in a .npz.

    Resolutions 384 and 378 both give 27 patches of 14 pixels. If the shapes match a published model, its resolution is
    used. The preprocessing is the one that transformers published for such a model.

    Raises:
        CheckpointError: the file is not a SigLIP model of big_vision.
    """
    shapes = {name.removeprefix("params/"): shape for name, shape in read_shapes(path).items()}
    try:
        vision, text = _vision_spec(shapes), _text_spec(shapes)
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointError(
            f"{path}: not a SigLIP model of big_vision ({error!r} is missing or has another shape); give a .npz with "
            "both towers, img and txt"
        ) from error
    published = next((spec for spec in PUBLISHED.values() if _has_shapes(spec, vision, text)), None)
    if published is not None:
        return replace(published, name=path.stem)
    if vision.naflex:
        return Spec(path.stem, vision, text, naflex_preprocessing(vision.patch_size, 256))
    kind: PreprocessingName = "hf-bilinear-aa" if text.vocab_size == _GEMMA else "hf-bicubic-aa"
    return Spec(path.stem, vision, text, Preprocessing(kind, vision.resolution))


def _has_shapes(spec: Spec, vision: VisionSpec, text: TextSpec) -> bool:
    same_grid = spec.vision.tokens == vision.tokens
    return spec.text == text and same_grid and replace(spec.vision, resolution=vision.resolution) == vision


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each array; reads only the headers."""
    shapes = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as file:
                    version = npy.read_magic(file)
                    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
                    shapes[name.removesuffix(".npy")] = read(file)[0]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path}: truncated or not an .npz: {error}; download the file again") from error
    return shapes


def is_stacked(shapes: Shapes, encoder: str) -> bool:
    """Whether a tower's blocks (under `img/Transformer` or `txt/Encoder_0`) are stacked along a first axis."""
    return f"{encoder}/encoderblock/LayerNorm_0/scale" in shapes


def _vision_spec(shapes: Shapes) -> VisionSpec:
    kernel, positions = shapes["img/embedding/kernel"], shapes["img/pos_embedding"]
    sizes = _sizes(shapes, "img/Transformer")
    if len(kernel) == 2:  # NaFlex: a Linear over flattened patches, and a grid of positions
        patch = isqrt(kernel[0] // 3)
        return VisionSpec(*sizes, patch, patch * positions[0], naflex=True)
    patch = kernel[0]
    return VisionSpec(*sizes, patch, patch * isqrt(positions[1]))


def _text_spec(shapes: Shapes) -> TextSpec:
    sizes = _sizes(shapes, "txt/Encoder_0")
    vocabulary, length = shapes["txt/Embed_0/embedding"][0], shapes["txt/pos_embedding"][1]
    head = shapes.get("txt/head/kernel", (sizes[0], sizes[0]))
    return TextSpec(*sizes, vocabulary, length, head[1])


def _sizes(shapes: Shapes, encoder: str) -> tuple[int, int, int, int]:
    if is_stacked(shapes, encoder):
        block = f"{encoder}/encoderblock"
        depth = shapes[f"{block}/LayerNorm_0/scale"][0]
    else:
        block = f"{encoder}/encoderblock_0"
        depth = sum(name.startswith(f"{encoder}/") and name.endswith("/LayerNorm_0/scale") for name in shapes)
    width, heads, _ = shapes[f"{block}/MultiHeadDotProductAttention_0/query/kernel"][-3:]
    return width, depth, heads, shapes[f"{block}/MlpBlock_0/Dense_0/kernel"][-1]

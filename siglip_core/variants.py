"""Describes a SigLIP model without its weights: sizes, text length, preprocessing. Needs neither torch nor the network.

`PUBLISHED` has every model that Google published; `configs.read_spec` makes a spec from a model's own files.
Sizes: SigLIP, arXiv 2303.15343; SigLIP 2, arXiv 2502.14786; So400m: arXiv 2305.13035.
"""

from dataclasses import dataclass, replace
from math import isqrt
from typing import Literal

from siglip_core.errors import SiglipError

# Whose preprocessing of images and texts: that of transformers, as published with the weights, or of big_vision.
Mode = Literal["exact", "bv"]
# Whether a JPEG is decoded completely, or to a smaller size from which it is then resized.
Decoding = Literal["exact", "fast"]
PreprocessingName = Literal["hf-bicubic-aa", "hf-bilinear-aa", "bv-bilinear-noaa", "naflex-bilinear-aa"]


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes model input.

    name: the resampling, named after the implementation it equals. `naflex-…` keeps the aspect ratio as far as complete
        patches allow; all others resize the image to a square. No image is cropped.
    resolution: side of that square in pixels; for NaFlex, the side of a square image.
    version: raised when the same name gives different pixels. One grey level is no difference.
    patch_size, max_patches: only for NaFlex.
    decoding: "fast" decodes a large JPEG to a part of its size, which is still more than twice that of the result.
    """

    name: PreprocessingName
    resolution: int
    version: int = 1
    patch_size: int | None = None
    max_patches: int | None = None
    decoding: Decoding = "exact"

    @property
    def identity(self) -> str:
        """A string such as `hf-bicubic-aa.v1@224`, or `hf-bicubic-aa+fast1.v1@224` for decoding "fast".

        Two of them are equal exactly if the pixels are equal, within one grey level.
        """
        size = self.resolution if self.max_patches is None else f"{self.max_patches}x{self.patch_size}"
        name = self.name if self.decoding == "exact" else f"{self.name}{_FAST}"
        return f"{name}.v{self.version}@{size}"


_FAST = "+fast1"
"""in the identity; the number is raised when "fast" gives different pixels"""


def decoding_of(identity: str) -> Decoding:
    """The decoding that a preprocessing of this identity has."""
    return "fast" if _FAST.rstrip("0123456789") in identity else "exact"


@dataclass(frozen=True)
class VisionSpec:
    """The image tower: `depth` blocks of `width`, `heads` heads and `mlp` hidden units, on square patches.

    naflex: takes any number of patches in any aspect ratio; `resolution` is then that of the grid of positions.
    """

    width: int
    depth: int
    heads: int
    mlp: int
    patch_size: int
    resolution: int
    naflex: bool = False

    @property
    def grid(self) -> int:
        """Complete patches along one side; pixels beyond the last one are not used."""
        return self.resolution // self.patch_size

    @property
    def tokens(self) -> int:
        return self.grid**2

    @property
    def parameters(self) -> int:
        stem = (3 * self.patch_size**2 + 1 + self.tokens) * self.width
        block = _block_parameters(self.width, self.mlp)
        head = block - self.width  # the head has a probe and one norm; a block has two norms
        return stem + self.depth * block + 2 * self.width + head

    @property
    def gflops(self) -> float:
        """Billions of operations for one image of `tokens` patches; a multiplication and an addition count as two."""
        L, D = self.tokens, self.width
        stem = 2 * L * 3 * self.patch_size**2 * D
        head = 2 * L * 2 * D**2 + 4 * L * D + 2 * (2 * D**2 + 2 * D * self.mlp)
        return (stem + self.depth * _block_operations(L, D, self.mlp) + head) / 1e9


@dataclass(frozen=True)
class TextSpec:
    """The text tower: every text has `length` tokens, and a linear head maps `width` to `embedding_dim`."""

    width: int
    depth: int
    heads: int
    mlp: int
    vocab_size: int
    length: int
    embedding_dim: int

    @property
    def parameters(self) -> int:
        stem = (self.vocab_size + self.length) * self.width
        head = (self.width + 1) * self.embedding_dim
        return stem + self.depth * _block_parameters(self.width, self.mlp) + 2 * self.width + head

    @property
    def gflops(self) -> float:
        """Billions of operations for one text, which always has `length` tokens."""
        return (
            self.depth * _block_operations(self.length, self.width, self.mlp) + 2 * self.width * self.embedding_dim
        ) / 1e9


def _block_operations(tokens: int, width: int, mlp: int) -> int:
    return 2 * tokens * (4 * width**2 + 2 * width * mlp) + 4 * tokens**2 * width


def _block_parameters(width: int, mlp: int) -> int:
    """Two norms, four projections and two MLP layers, all with biases."""
    return 4 * width + 4 * (width + 1) * width + (width + 1) * mlp + (mlp + 1) * width


@dataclass(frozen=True)
class Spec:
    """A complete model: both towers and the preprocessing it was published with."""

    name: str
    vision: VisionSpec
    text: TextSpec
    preprocessing: Preprocessing

    @property
    def embedding_dim(self) -> int:
        """D of the vectors. The image tower has no projection, so D is that tower's width."""
        return self.vision.width

    @property
    def text_length(self) -> int:
        return self.text.length

    @property
    def vocab_size(self) -> int:
        return self.text.vocab_size

    @property
    def parameters(self) -> int:
        return self.vision.parameters + self.text.parameters + 2  # and t and b

    def in_mode(self, mode: Mode) -> "Spec":
        """The same model with the preprocessing of this mode. For NaFlex both modes are equal."""
        if mode == "exact" or self.vision.naflex:
            return self
        return replace(self, preprocessing=Preprocessing("bv-bilinear-noaa", self.vision.resolution))

    def decoded(self, decoding: Decoding) -> "Spec":
        """The same model with the preprocessing of this decoding.

        Raises:
            SiglipError: "fast" in mode "bv", which takes its pixels from the original size.
        """
        if decoding == "fast" and self.preprocessing.name == "bv-bilinear-noaa":
            raise SiglipError(
                'preprocessing "fast" needs antialiasing, which mode "bv" does not have; give only one of them'
            )
        return replace(self, preprocessing=replace(self.preprocessing, decoding=decoding))


def naflex_preprocessing(patch_size: int, max_patches: int) -> Preprocessing:
    resolution = patch_size * isqrt(max_patches)
    return Preprocessing("naflex-bilinear-aa", resolution, patch_size=patch_size, max_patches=max_patches)


# size: width, depth, heads, hidden units of the MLP
SIZES: dict[str, tuple[int, int, int, int]] = {
    "base": (768, 12, 12, 3072),
    "large": (1024, 24, 16, 4096),
    "so400m": (1152, 27, 16, 4304),
    "giant-opt": (1536, 40, 16, 6144),
}


def _published(version: str, size: str, patch: int, resolution: int | None, vocabulary: int, length: int) -> Spec:
    """If `resolution` is None, the model is NaFlex, with a grid of 16 x 16 positions and at most 256 patches."""
    naflex = resolution is None
    name = f"google/{version}-{size}-patch{patch}-{'naflex' if naflex else resolution}"
    vision = VisionSpec(*SIZES[size], patch, resolution or 16 * patch, naflex)
    # The giant model uses So400m's text tower, with a head that projects to the larger width.
    text = TextSpec(*SIZES["so400m" if size == "giant-opt" else size], vocabulary, length, vision.width)
    if naflex:
        return Spec(name, vision, text, naflex_preprocessing(patch, 256))
    kind: PreprocessingName = "hf-bicubic-aa" if version == "siglip" else "hf-bilinear-aa"
    return Spec(name, vision, text, Preprocessing(kind, vision.resolution))


def _catalogue() -> dict[str, Spec]:
    v1 = [("base", 16, 224), ("base", 16, 256), ("base", 16, 384), ("base", 16, 512)]
    v1 += [("large", 16, 256), ("large", 16, 384), ("so400m", 14, 384)]
    specs = [_published("siglip", *model, 32000, 64) for model in v1]
    specs.append(_published("siglip", "so400m", 14, 224, 32000, 16))
    multilingual = _published("siglip", "base", 16, 256, 250000, 64)
    specs.append(replace(multilingual, name=f"{multilingual.name}-multilingual"))
    i18n = _published("siglip", "so400m", 16, 256, 250000, 64)
    specs.append(replace(i18n, name=f"{i18n.name}-i18n"))

    v2: list[tuple[str, int, int | None]] = [("base", 32, 256)]
    v2 += [("base", 16, resolution) for resolution in (224, 256, 384, 512, None)]
    v2 += [("large", 16, resolution) for resolution in (256, 384, 512)]
    v2 += [("so400m", 14, 224), ("so400m", 14, 384)]
    v2 += [("so400m", 16, resolution) for resolution in (256, 384, 512, None)]
    v2 += [("giant-opt", 16, 256), ("giant-opt", 16, 384)]
    specs += [_published("siglip2", *model, 256000, 64) for model in v2]
    return {spec.name: spec for spec in specs}


PUBLISHED: dict[str, Spec] = _catalogue()

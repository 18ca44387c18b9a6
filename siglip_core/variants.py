"""What a SigLIP is, without its weights: sizes, text length, preprocessing. Needs neither torch nor the
network.

`hf_config.read_spec` makes one from the config.json beside the weights.
"""

from dataclasses import dataclass
from typing import Literal

PreprocessingName = Literal["hf-bicubic-aa", "hf-bilinear-aa"]


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes model input: squashed to resolution x resolution, aspect ratio not kept, never
    cropped.

    name: the resampling, after the implementation it equals. version: raised when the same name gives other
    pixels.
    """

    name: PreprocessingName
    resolution: int
    version: int = 1

    @property
    def identity(self) -> str:
        """One string that is equal exactly if the pixels are: `hf-bicubic-aa.v1@224`."""
        return f"{self.name}.v{self.version}@{self.resolution}"


@dataclass(frozen=True)
class VisionSpec:
    """The image tower: `depth` blocks of `width`, `heads` heads and `mlp` hidden units, on square patches."""

    width: int
    depth: int
    heads: int
    mlp: int
    patch_size: int
    resolution: int

    @property
    def tokens(self) -> int:
        """Whole patches of an image; pixels beyond the last whole patch are not seen."""
        return (self.resolution // self.patch_size) ** 2


@dataclass(frozen=True)
class TextSpec:
    """The text tower; `length` tokens always, and a linear head from `width` to `embedding_dim`."""

    width: int
    depth: int
    heads: int
    mlp: int
    vocab_size: int
    length: int
    embedding_dim: int


@dataclass(frozen=True)
class Spec:
    """A whole model: both towers and the preprocessing it was published with."""

    name: str
    vision: VisionSpec
    text: TextSpec
    preprocessing: Preprocessing

    @property
    def embedding_dim(self) -> int:
        """D of the vectors; the image tower has no projection, so it is that tower's width."""
        return self.vision.width

    @property
    def text_length(self) -> int:
        return self.text.length

    @property
    def vocab_size(self) -> int:
        return self.text.vocab_size

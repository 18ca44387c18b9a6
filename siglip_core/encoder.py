"""A loaded SigLIP: images and texts in, unit vectors out, with everything that identifies it."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from siglip_core import checkpoint, names, preprocess
from siglip_core.errors import SiglipError
from siglip_core.model import Siglip
from siglip_core.tokenizer import Tokenizer, read_tokenizer
from siglip_core.variants import Mode, Spec


def load(name_or_dir: str | Path, device: str | torch.device, dtype: str | torch.dtype, mode: Mode) -> "Encoder":
    """See `siglip_core.load`. The model is built without memory and given the mapped weights."""
    path, spec = names.locate(name_or_dir, mode)
    state = checkpoint.read(path, spec)
    with torch.device("meta"):
        module = Siglip(spec)
    module.load_state_dict(state, strict=True, assign=True)
    folder = path if path.is_dir() else path.parent
    return Encoder(_to(module, device, as_dtype(dtype)), state, folder, mode)


class Encoder:
    """What `siglip_core.load` returns. Inference only: nothing here keeps gradients; `module` is for training.

    Outputs are float32 on the CPU whatever the device and dtype of the model, and of unit length. A batch is
    computed as it is given, so its size bounds the memory; a batch of 0 gives [0, D].
    """

    def __init__(self, module: Siglip, state: Mapping[str, Tensor], folder: Path, mode: Mode) -> None:
        self.module = module.eval().requires_grad_(False)
        self.spec: Spec = module.spec
        self._state = state
        self._folder = folder
        self._mode: Mode = mode

    @property
    def logit_scale(self) -> float:
        """exp(t): the factor itself, not its logarithm."""
        return math.exp(self._state["logit_scale"].item())

    @property
    def logit_bias(self) -> float:
        """b."""
        return self._state["logit_bias"].item()

    @cached_property
    def weights_digest(self) -> str:
        """sha256 of the weights, the same in every layout; computed when first asked for (about 1 s a
        gigabyte).
        """
        return checkpoint.weights_digest(self._state)

    @cached_property
    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer in the model's folder, read when first needed: images and token ids do without. None if absent.

        Raises TokenizerError if it is broken, does not belong to the model, or its package is not installed.
        """
        return read_tokenizer(self._folder, self.spec.text_length, self.spec.vocab_size, self._mode)

    @property
    def tokenizer_digest(self) -> str | None:
        """sha256 of the tokenizer's file, its rules and the text length; None if the folder has no tokenizer."""
        return None if self.tokenizer is None else self.tokenizer.digest

    def preprocess(self, image: bytes | Image.Image) -> NDArray[np.uint8]:
        """One image -> uint8 [S, S, 3], for `encode_image`. Raises ImageError (see preprocess.decode)."""
        if isinstance(image, Image.Image):
            return preprocess.from_pil(image, self.spec.preprocessing).pixels
        return preprocess.decode(image, self.spec.preprocessing).pixels

    def tokenize(self, texts: list[str]) -> NDArray[np.int64]:
        """Texts -> int64 [B, L]. Raises TokenizerError, and SiglipError if the folder has no tokenizer."""
        if self.tokenizer is None:
            raise SiglipError(
                f"model {self.spec.name} has no tokenizer, so it takes token ids only; put the published spiece.model "
                "or tokenizer.json into its folder"
            )
        return self.tokenizer(texts)

    def encode_image(self, images: NDArray[np.uint8] | Tensor | Sequence[NDArray[np.uint8] | Tensor]) -> Tensor:
        """Images as `preprocess` makes them -> float32 [B, D], unit length.

        uint8 [B, S, S, 3], or a list of [S, S, 3]; for NaFlex a list of [h, w, 3], each in its own size.
        Raises SiglipError for another dtype or shape.
        """
        if self.spec.vision.naflex:
            return self._embed(self.module.image.naflex, [self._check_naflex(image) for image in images])
        size = self.spec.preprocessing.resolution
        if not isinstance(images, np.ndarray | Tensor):
            images = torch.stack([torch.as_tensor(image) for image in images] or [torch.empty(0)])
        image_BHWC = torch.as_tensor(images)
        if len(image_BHWC) and (image_BHWC.dtype != torch.uint8 or image_BHWC.shape[1:] != (size, size, 3)):
            raise SiglipError(
                f"images must be uint8 [B, {size}, {size}, 3], got {_describe(image_BHWC)}; use preprocess()"
            )
        return self._embed(self.module.image, image_BHWC)

    def _check_naflex(self, image: NDArray[np.uint8] | Tensor) -> Tensor:
        image_HWC = torch.as_tensor(image)
        patch, most = self.spec.vision.patch_size, self.spec.preprocessing.max_patches
        shape = image_HWC.shape
        whole = len(shape) == 3 and shape[2] == 3 and min(shape) > 0 and shape[0] % patch == shape[1] % patch == 0
        if image_HWC.dtype != torch.uint8 or not whole or shape[0] * shape[1] > (most or 0) * patch**2:
            raise SiglipError(
                f"NaFlex images must be uint8 [h, w, 3], h and w multiples of {patch}, of at most {most} patches, "
                f"got {_describe(image_HWC)}; use preprocess()"
            )
        return image_HWC

    def encode_text(self, texts: list[str] | NDArray[np.int64] | Tensor) -> Tensor:
        """Texts, or int64 token ids [B, L] padded to the full length L -> float32 [B, D], unit length.

        Raises SiglipError for another dtype or shape or an id outside the vocabulary, TokenizerError for bad
        texts.
        """
        is_ids = isinstance(texts, np.ndarray | Tensor)
        tokens_BL: Tensor = torch.as_tensor(texts if is_ids else self.tokenize(texts))  # type: ignore[arg-type]
        self._check_tokens(tokens_BL)
        return self._embed(self.module.text, tokens_BL)

    def _check_tokens(self, tokens_BL: Tensor) -> None:
        length, vocabulary = self.spec.text_length, self.spec.vocab_size
        if tokens_BL.dtype != torch.int64 or tokens_BL.ndim != 2 or tokens_BL.shape[1] != length:
            raise SiglipError(
                f"token ids must be int64 [B, {length}] (padded: the last position is pooled), "
                f"got {_describe(tokens_BL)}"
            )
        if len(tokens_BL) and not (tokens_BL.min() >= 0 and tokens_BL.max() < vocabulary):
            raise SiglipError(
                f"token ids from {int(tokens_BL.min())} to {int(tokens_BL.max())}, but model "
                f"{self.spec.name} has "
                f"{vocabulary} tokens; they come from another tokenizer"
            )

    @torch.inference_mode()
    def _embed(self, tower: Callable[..., Tensor], x: Tensor | list[Tensor]) -> Tensor:
        if len(x) == 0:
            return torch.empty(0, self.spec.embedding_dim)
        device = self.module.logit_bias.device
        z_BE = tower(x.to(device) if isinstance(x, Tensor) else [image.to(device) for image in x])
        z_BE = F.normalize(z_BE.float(), dim=-1).cpu()
        if not z_BE.isfinite().all():
            raise SiglipError(
                f"model {self.spec.name} in {str(self.module.logit_bias.dtype).removeprefix('torch.')} "
                "gives numbers "
                "that are not finite; if that is float16, take bfloat16 or float32, else the weights are "
                "broken"
            )
        return z_BE


def _to(module: Siglip, device: str | torch.device, dtype: torch.dtype) -> Siglip:
    if dtype not in (torch.float32, torch.bfloat16, torch.float16):
        raise SiglipError(f"dtype {dtype} is not supported; take float32, bfloat16 or float16")
    try:
        return module.to(device=device, dtype=dtype)
    except (RuntimeError, AssertionError) as error:
        raise SiglipError(f"device {str(device)!r} cannot be used: {error}; device='cpu' always can") from error


def _describe(x: Tensor) -> str:
    return f"{str(x.dtype).removeprefix('torch.')} {list(x.shape)}"


def as_dtype(dtype: "torch.dtype | str") -> torch.dtype:
    """'bfloat16' -> torch.bfloat16."""
    if isinstance(dtype, torch.dtype):
        return dtype
    found: Any = getattr(torch, dtype, None)
    if not isinstance(found, torch.dtype):
        raise SiglipError(f"unknown dtype {dtype!r}; take 'float32', 'bfloat16' or 'float16'")
    return found

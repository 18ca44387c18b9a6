"""A loaded SigLIP: images and texts in, unit vectors out, with everything that identifies it."""

import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from siglip_core import checkpoint, preprocess
from siglip_core.errors import SiglipError
from siglip_core.hf_config import read_spec
from siglip_core.model import Siglip
from siglip_core.tokenizer import Tokenizer, read_tokenizer
from siglip_core.variants import Spec


def load_folder(folder: Path, device: str | torch.device, dtype: torch.dtype) -> "Encoder":
    """Reads spec, weights and tokenizer; the model is built without memory and given the mapped weights."""
    spec = read_spec(folder)
    state = checkpoint.read(folder, spec)
    tokenizer = read_tokenizer(folder, spec.text_length, spec.vocab_size)
    with torch.device("meta"):
        module = Siglip(spec)
    module.load_state_dict(state, strict=True, assign=True)
    return Encoder(_to(module, device, dtype), state, tokenizer)


class Encoder:
    """What `siglip_core.load` returns. Inference only: nothing here keeps gradients; `module` is for
    training.

    Outputs are float32 on the CPU whatever the device and dtype of the model, and of unit length. A batch is
    computed as it is given, so its size bounds the memory; a batch of 0 gives [0, D].
    """

    def __init__(self, module: Siglip, state: Mapping[str, Tensor], tokenizer: Tokenizer | None) -> None:
        self.module = module.eval().requires_grad_(False)
        self.spec: Spec = module.spec
        self._state = state
        self._tokenizer = tokenizer

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

    @property
    def tokenizer_digest(self) -> str | None:
        """sha256 of tokenizer, its rules and the text length; None if the folder has no tokenizer."""
        return None if self._tokenizer is None else self._tokenizer.digest

    def preprocess(self, image: bytes | Image.Image) -> NDArray[np.uint8]:
        """One image -> uint8 [S, S, 3], for `encode_image`. Raises ImageError (see preprocess.decode)."""
        if isinstance(image, Image.Image):
            return preprocess.from_pil(image, self.spec.preprocessing).pixels
        return preprocess.decode(image, self.spec.preprocessing).pixels

    def tokenize(self, texts: list[str]) -> NDArray[np.int64]:
        """Texts -> int64 [B, L]. Raises TokenizerError, and SiglipError if the folder has no tokenizer."""
        if self._tokenizer is None:
            raise SiglipError(
                f"model {self.spec.name} has no tokenizer, so it takes token ids only; put the published "
                "spiece.model "
                "or tokenizer.json into its folder"
            )
        return self._tokenizer(texts)

    def encode_image(self, images: NDArray[np.uint8] | Tensor) -> Tensor:
        """uint8 [B, S, S, 3], as `preprocess` makes them -> float32 [B, D], unit length.

        Raises SiglipError for another dtype or shape.
        """
        image_BHWC = torch.as_tensor(images)
        size = self.spec.preprocessing.resolution
        if image_BHWC.dtype != torch.uint8 or image_BHWC.shape[1:] != (size, size, 3):
            raise SiglipError(
                f"images must be uint8 [B, {size}, {size}, 3], got {_describe(image_BHWC)}; use preprocess()"
            )
        return self._embed(self.module.image, image_BHWC)

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
    def _embed(self, tower: torch.nn.Module, x: Tensor) -> Tensor:
        if len(x) == 0:
            return torch.empty(0, self.spec.embedding_dim)
        z_BE = tower(x.to(self.module.logit_bias.device)).float()
        z_BE = F.normalize(z_BE, dim=-1).cpu()
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

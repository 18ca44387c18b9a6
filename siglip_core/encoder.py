"""A loaded SigLIP model: turns images and texts into unit vectors, and gives the digests that identify it."""

import logging
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

from siglip_core import checkpoint, cpu, gpu, names, preprocess
from siglip_core.errors import SiglipError
from siglip_core.model import Siglip
from siglip_core.tokenizer import Tokenizer, read_tokenizer
from siglip_core.variants import Decoding, Mode, Spec

log = logging.getLogger(__name__)


def load(
    name_or_dir: str | Path, device: str | torch.device, dtype: str | torch.dtype, mode: Mode, preprocessing: Decoding
) -> "Encoder":
    """See `siglip_core.load`."""
    path, spec = names.locate(name_or_dir, mode)
    spec = spec.decoded(preprocessing)
    state = checkpoint.read(path, spec)
    folder = path if path.is_dir() else path.parent
    if as_dtype(dtype) == torch.float32 and torch.get_float32_matmul_precision() != "highest":
        log.warning(
            "model %s: products of float32 numbers are rounded to TF32 or bfloat16 in this process; "
            "torch.set_float32_matmul_precision('highest') ends that",
            spec.name,
        )
    return Encoder(spec, state, folder, mode, device, as_dtype(dtype))


class Encoder:
    """The result of `siglip_core.load`. For inference only: no gradients are computed; use `module` for training.

    Vectors have unit length and are float32 on the CPU, whatever the model's device and dtype. A batch of 0 gives
    [0, D]. A GPU gets a whole batch at once, so its size determines the memory needed; its layers are fused, and it
    computes one thread's batch while another thread prepares the next (`siglip_core.gpu`). A CPU gets a batch in parts,
    and computes them by packed copies of the layers where these are faster (`siglip_core.cpu`).
    """

    def __init__(
        self,
        spec: Spec,
        state: Mapping[str, Tensor],
        folder: Path,
        mode: Mode,
        device: str | torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.spec = spec
        self._state = state
        self._folder = folder
        self._mode: Mode = mode
        self._device, self._dtype = device, dtype
        self._run(_build(spec, state, device, dtype), may_change=True)

    def _run(self, module: Siglip, may_change: bool) -> None:
        """Encodes by this module from now on, whose layers may be packed or fused."""
        self._module = module
        runs_on = module.logit_bias.device
        on_cpu = runs_on.type == "cpu"
        self._image = cpu.Running(module.image, may_change) if on_cpu else module.image
        self._text = cpu.Running(module.text, may_change) if on_cpu else module.text
        self._copies = gpu.Copies(runs_on) if runs_on.type == "cuda" else None
        self._is_fused = self._copies is not None and may_change
        if self._is_fused:
            gpu.fuse(module.image)
            gpu.fuse(module.text)

    def expect_many(self) -> None:
        """Says that many inputs will come: on a CPU the layers are measured and packed for the first one already.

        Without it, the first few inputs are computed by plain layers, whose bfloat16 vectors are rounded differently.
        """
        for tower in (self._image, self._text):
            if isinstance(tower, cpu.Running):
                tower.expect_many()

    def __getstate__(self) -> dict[str, Any]:
        """Packed layers and streams cannot be copied. A copy makes its own."""
        own = ("_module", "_image", "_text", "_copies", "_is_fused")
        return {name: value for name, value in vars(self).items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        own = state.get("module")
        self._run(own or _build(self.spec, self._state, self._device, self._dtype), may_change=own is None)

    @cached_property
    def module(self) -> Siglip:
        """The model itself. Once it was asked for, it encodes, and not packed or fused copies of its layers, so that
        the vectors follow what is done to its weights."""
        packed = any(isinstance(tower, cpu.Running) and tower.is_packed for tower in (self._image, self._text))
        is_changed = packed or self._is_fused
        again = _build(self.spec, self._state, self._device, self._dtype) if is_changed else self._module
        self._run(again, may_change=False)
        return again

    @property
    def logit_scale(self) -> float:
        """exp(t): the factor, not its logarithm."""
        return math.exp(self._state["logit_scale"].item())

    @property
    def logit_bias(self) -> float:
        """The bias b of the sigmoid."""
        return self._state["logit_bias"].item()

    @cached_property
    def weights_digest(self) -> str:
        """sha256 of the weights, equal in every layout. Computed on first use; takes about 1 s per gigabyte."""
        return checkpoint.weights_digest(self._state)

    @cached_property
    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer in the model's folder; None if there is none. Read on first use, as images and token ids need
        none.

        Raises:
            TokenizerError: it is broken, does not belong to the model, or its package is not installed.
        """
        return read_tokenizer(self._folder, self.spec.text_length, self.spec.vocab_size, self._mode)

    @property
    def tokenizer_digest(self) -> str | None:
        """sha256 of the tokenizer's file, rules and text length; None if the folder has no tokenizer."""
        return None if self.tokenizer is None else self.tokenizer.digest

    def preprocess(self, image: bytes | Image.Image) -> NDArray[np.uint8]:
        """One image -> uint8 [S, S, 3], input of `encode_image`. Raises ImageError (see preprocess.decode)."""
        if isinstance(image, Image.Image):
            return preprocess.from_pil(image, self.spec.preprocessing).pixels
        return preprocess.decode(image, self.spec.preprocessing).pixels

    def tokenize(self, texts: list[str]) -> NDArray[np.int64]:
        """Texts -> int64 [B, L]. Raises TokenizerError, and SiglipError if the folder has no tokenizer."""
        if self.tokenizer is None:
            raise SiglipError(
                f"model {self.spec.name} has no tokenizer and accepts only token ids; add the published spiece.model "
                "or tokenizer.json to its folder"
            )
        return self.tokenizer(texts)

    def encode_image(self, images: NDArray[np.uint8] | Tensor | Sequence[NDArray[np.uint8] | Tensor]) -> Tensor:
        """Images from `preprocess` -> float32 [B, D], unit length.

        The images are uint8 [B, S, S, 3] or a list of [S, S, 3]; for NaFlex a list of [h, w, 3], each of its own size.
        Raises SiglipError for another dtype or shape.
        """
        if self.spec.vision.naflex:
            return self._embed(self._image.naflex, [self._check_naflex(image) for image in images])
        size = self.spec.preprocessing.resolution
        if not isinstance(images, np.ndarray | Tensor):
            images = torch.stack([torch.as_tensor(image) for image in images] or [torch.empty(0)])
        image_BHWC = torch.as_tensor(images)
        if len(image_BHWC) and (image_BHWC.dtype != torch.uint8 or image_BHWC.shape[1:] != (size, size, 3)):
            raise SiglipError(
                f"images must be uint8 [B, {size}, {size}, 3], got {_describe(image_BHWC)}; use preprocess()"
            )
        return self._embed(self._image, image_BHWC)

    def _check_naflex(self, image: NDArray[np.uint8] | Tensor) -> Tensor:
        image_HWC = torch.as_tensor(image)
        patch, most = self.spec.vision.patch_size, self.spec.preprocessing.max_patches
        shape = image_HWC.shape
        in_patches = len(shape) == 3 and shape[2] == 3 and min(shape) > 0 and shape[0] % patch == shape[1] % patch == 0
        if image_HWC.dtype != torch.uint8 or not in_patches or shape[0] * shape[1] > (most or 0) * patch**2:
            raise SiglipError(
                f"NaFlex images must be uint8 [h, w, 3], h and w multiples of {patch}, of at most {most} patches, "
                f"got {_describe(image_HWC)}; use preprocess()"
            )
        return image_HWC

    def encode_text(self, texts: list[str] | NDArray[np.int64] | Tensor) -> Tensor:
        """Texts, or int64 token ids [B, L] padded to the full length L -> float32 [B, D], unit length.

        Raises:
            SiglipError: another dtype or shape, or an id outside the vocabulary.
            TokenizerError: a text cannot be tokenized.
        """
        is_ids = isinstance(texts, np.ndarray | Tensor)
        tokens_BL: Tensor = torch.as_tensor(texts if is_ids else self.tokenize(texts))  # type: ignore[arg-type]
        self._check_tokens(tokens_BL)
        return self._embed(self._text, tokens_BL)

    def _check_tokens(self, tokens_BL: Tensor) -> None:
        length, vocabulary = self.spec.text_length, self.spec.vocab_size
        if tokens_BL.dtype != torch.int64 or tokens_BL.ndim != 2 or tokens_BL.shape[1] != length:
            raise SiglipError(
                f"token ids must be int64 [B, {length}], padded because the last position is pooled; "
                f"got {_describe(tokens_BL)}"
            )
        if len(tokens_BL) and not (tokens_BL.min() >= 0 and tokens_BL.max() < vocabulary):
            raise SiglipError(
                f"token ids range from {int(tokens_BL.min())} to {int(tokens_BL.max())}, but model "
                f"{self.spec.name} has {vocabulary} tokens; use the tokenizer of this model"
            )

    @torch.inference_mode()
    def _embed(self, tower: Callable[..., Tensor], x: Tensor | list[Tensor]) -> Tensor:
        if len(x) == 0:
            return torch.empty(0, self.spec.embedding_dim)
        z_BE = tower(self._sent(x) if isinstance(x, Tensor) else [self._sent(image) for image in x])
        z_BE = F.normalize(z_BE.float(), dim=-1)
        z_BE = z_BE.cpu() if self._copies is None else self._copies.fetch(z_BE)
        if not z_BE.isfinite().all():
            raise SiglipError(
                f"model {self.spec.name} in {str(self._dtype).removeprefix('torch.')} gives numbers "
                "that are not finite; with float16 use bfloat16 or float32 instead, else the weights are broken"
            )
        return z_BE

    def _sent(self, x: Tensor) -> Tensor:
        """On the device of the model."""
        device = self._module.logit_bias.device
        return self._copies.send(x) if self._copies is not None and x.device.type == "cpu" else x.to(device)


def _build(spec: Spec, state: Mapping[str, Tensor], device: str | torch.device, dtype: torch.dtype) -> Siglip:
    """The model is built without memory; its parameters are then the memory-mapped weights."""
    with torch.device("meta"):
        module = Siglip(spec)
    module.load_state_dict(state, strict=True, assign=True)
    return _to(module, device, dtype).eval().requires_grad_(False)


def _to(module: Siglip, device: str | torch.device, dtype: torch.dtype) -> Siglip:
    if dtype not in (torch.float32, torch.bfloat16, torch.float16):
        raise SiglipError(f"dtype {dtype} is not supported; use float32, bfloat16 or float16")
    try:
        return module.to(device=device, dtype=dtype)
    except (RuntimeError, AssertionError) as error:
        raise SiglipError(f"device {str(device)!r} cannot be used: {error}; device='cpu' always works") from error


def _describe(x: Tensor) -> str:
    return f"{str(x.dtype).removeprefix('torch.')} {list(x.shape)}"


def as_dtype(dtype: "torch.dtype | str") -> torch.dtype:
    """'bfloat16' -> torch.bfloat16."""
    if isinstance(dtype, torch.dtype):
        return dtype
    found: Any = getattr(torch, dtype, None)
    if not isinstance(found, torch.dtype):
        raise SiglipError(f"unknown dtype {dtype!r}; use 'float32', 'bfloat16' or 'float16'")
    return found

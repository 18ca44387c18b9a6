"""The errors of siglip_core.

    ValueError
      SiglipError            a wrong argument: dtype, shape, device, name
        CheckpointError      config.json or weights: missing, broken, contradictory
        TokenizerError       tokenizer files, or a text that cannot be tokenized
        ImageError           the bytes of one image; `.reason` is a short code

Every message names the file, tensor, key or index, the cause and the fix.
"""

from typing import Literal

ImageReason = Literal["decode", "too-large"]


class SiglipError(ValueError):
    """Base class of all errors that siglip_core raises for a known cause."""


class CheckpointError(SiglipError):
    """The config or weights of a model cannot be used."""


class TokenizerError(SiglipError):
    """A tokenizer cannot be used, or cannot encode a text."""


class ImageError(SiglipError):
    """The bytes are not a usable image.

    reason: "decode" (not an image, truncated, or a format that is not accepted) or "too-large" (more pixels than
        allowed).
    """

    def __init__(self, reason: ImageReason, message: str) -> None:
        super().__init__(message)
        self.reason: ImageReason = reason

    def __reduce__(self) -> tuple[type["ImageError"], tuple[ImageReason, str]]:
        # Exceptions are pickled by their `args`, which contain only the message. This one is sent between processes.
        return (ImageError, (self.reason, str(self)))

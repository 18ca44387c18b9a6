"""What can go wrong in siglip_core, as one small tree.

    ValueError
      SiglipError            a wrong argument: dtype, shape, device, name
        CheckpointError      config.json or weights: absent, broken, contradictory
        TokenizerError       tokenizer files, or a text that cannot be tokenized
        ImageError           the bytes of one image; `.reason` is a short code

Every message names the file, tensor, key or index, the cause and the mend.
"""

from typing import Literal

ImageReason = Literal["decode", "too-large"]


class SiglipError(ValueError):
    """Base of every error that siglip_core raises on purpose."""


class CheckpointError(SiglipError):
    """A model folder whose config or weights cannot be used."""


class TokenizerError(SiglipError):
    """A tokenizer that cannot be used, or a text that it cannot encode."""


class ImageError(SiglipError):
    """Bytes that are not a usable image.

    reason: "decode" (not an image, truncated, a format we refuse) or "too-large" (more pixels than allowed).
    """

    def __init__(self, reason: ImageReason, message: str) -> None:
        super().__init__(message)
        self.reason: ImageReason = reason

    def __reduce__(self) -> tuple[type["ImageError"], tuple[ImageReason, str]]:
        # Exceptions pickle by their `args`, which hold only the message; this one crosses process borders.
        return (ImageError, (self.reason, str(self)))

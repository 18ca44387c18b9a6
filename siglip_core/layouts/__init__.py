"""Maps the parameters of model.py to the tensors of published checkpoints: one module per layout.

A layout is a list of entries, one for each tensor of a published file. An entry names our parameters that are in the
tensor, and how to split the tensor into them and join them again. Reading, writing, strict checks and error messages
all use this list, so a new layout is a new list.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Entry:
    """`theirs`, a tensor of `shape`, contains our parameters `ours`. `split` gives ours, `join` gives theirs."""

    theirs: str
    shape: tuple[int, ...]
    ours: tuple[str, ...]
    split: Callable[[Tensor], Sequence[Tensor]] = lambda theirs: [theirs]
    join: Callable[[Sequence[Tensor]], Tensor] = lambda ours: ours[0]


def reshaped(theirs: str, shape: tuple[int, ...], ours: str, our_shape: tuple[int, ...]) -> Entry:
    """The same numbers in the same order, in another shape."""
    return Entry(
        theirs,
        shape,
        (ours,),
        lambda tensor: [tensor.reshape(our_shape)],
        lambda parts: parts[0].reshape(shape),
    )


def affine(theirs: str, ours: str, *shape: int) -> list[Entry]:
    """A weight of `shape` and a bias of its first size, equal in both layouts: nn.Linear, nn.LayerNorm."""
    return [
        Entry(f"{theirs}.weight", shape, (f"{ours}.weight",)),
        Entry(f"{theirs}.bias", shape[:1], (f"{ours}.bias",)),
    ]


def fused(weight: str, bias: str, ours: tuple[str, ...], width: int) -> list[Entry]:
    """Linear maps [width, width] stored as one tensor, concatenated along the outputs, as in torch's own attention."""
    count = len(ours)

    def entry(theirs: str, shape: tuple[int, ...], kind: str) -> Entry:
        names = tuple(f"{name}.{kind}" for name in ours)
        return Entry(
            theirs,
            shape,
            names,
            lambda tensor: tensor.chunk(count),
            lambda parts: torch.cat(list(parts)),
        )

    return [
        entry(weight, (count * width, width), "weight"),
        entry(bias, (count * width,), "bias"),
    ]


def convolution(theirs: str, ours: str, width: int, patch: int) -> Entry:
    """A patch embedding stored as a convolution [D, C, ph, pw]; ours is a Linear over (ph, pw, C)."""
    return Entry(
        theirs,
        (width, 3, patch, patch),
        (ours,),
        lambda tensor: [tensor.permute(0, 2, 3, 1).reshape(width, -1)],
        lambda parts: parts[0].reshape(width, patch, patch, 3).permute(0, 3, 1, 2),
    )

"""Matrix products with packed weights, by the oneDNN that torch contains.

torch offers them to its own compiler only, so these operators are private and may change. No other file uses them.
"""

import torch
from torch import Tensor

_OPERATORS = ("_reorder_linear_weight", "_linear_pointwise")


def missing(dtype: torch.dtype) -> str | None:
    """Why this torch cannot compute such products in this dtype; None if it can."""
    if dtype not in (torch.float32, torch.bfloat16):
        return f"only float32 and bfloat16 are packed, not {str(dtype).removeprefix('torch.')}"
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return f"torch {torch.__version__} was built without oneDNN"
    absent = [name for name in _OPERATORS if not hasattr(torch.ops.mkldnn, name)]
    return f"torch {torch.__version__} has no operator mkldnn::{absent[0]}" if absent else None


class Packed:
    """A linear layer whose weight [O, I] lies in oneDNN's own order for products with about `rows` rows.

    The weight is copied; `bias` [O] is kept. Any other number of rows gives the same results.
    """

    def __init__(self, weight: Tensor, bias: Tensor, rows: int) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), rows)
        self._bias = bias.detach().clone()

    def __call__(self, x: Tensor) -> Tensor:
        """[..., I] -> [..., O]"""
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, "none", [], "")
        return y

    def gelu(self, x: Tensor) -> Tensor:
        """GELU in its tanh form, of the result."""
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, "gelu", [], "tanh")
        return y

    def add(self, x: Tensor, residual: Tensor) -> Tensor:
        """residual [..., O] plus the result."""
        y: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, residual, self._weight, self._bias, "add")
        return y

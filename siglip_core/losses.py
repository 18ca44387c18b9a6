"""The sigmoid loss, all at once and by blocks, and CLIP's softmax loss. `ring.py` has the sigmoid loss over ranks.

    sigmoid   -1/B sum_ij log sigmoid(z_ij (exp(t) x_i.y_j + b)), z = 1 on the diagonal, -1 off it
              (SigLIP, arXiv 2303.15343, equation 1)
    softmax   the mean of the cross entropies of exp(t) x_i.y_j in both directions (CLIP, arXiv 2103.00020, figure 3)

x and y are unit vectors [B, E]; pair i is (x_i, y_i). t and b are scalars of shape () or (1,). All arithmetic is in
float32 (float64 if given), under autocast too.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from siglip_core.errors import SiglipError


def sigmoid_loss(x_BE: Tensor, y_BE: Tensor, t: Tensor, b: Tensor) -> Tensor:
    """The sigmoid loss, a scalar, from all B x B logits at once."""
    x_BE, y_BE, t, b = inputs(x_BE, y_BE, t, b)
    with torch.autocast(x_BE.device.type, enabled=False):
        logits_BB = t.exp() * (x_BE @ y_BE.T) + b
        # log sigmoid(-l) = -softplus(l), and softplus(-l) = softplus(l) - l
        return (F.softplus(logits_BB).sum() - logits_BB.diagonal().sum()) / len(x_BE)


def sigmoid_loss_by_blocks(x_BE: Tensor, y_BE: Tensor, t: Tensor, b: Tensor, block: int) -> Tensor:
    """The same loss and gradients, with at most `block` x `block` logits in memory at a time.

    The loss is a sum over pairs, so the gradient of a block needs only that block's logits. It is computed in the
    forward pass; backward only scales it. Second derivatives are not available.
    """
    if block < 1:
        raise SiglipError(f"block is {block}; it must be at least 1")
    x_BE, y_BE, t, b = inputs(x_BE, y_BE, t, b)
    loss: Tensor = _ByBlocks.apply(x_BE, y_BE, t, b, block)  # type: ignore[no-untyped-call]
    return loss


def softmax_loss(x_BE: Tensor, y_BE: Tensor, t: Tensor) -> Tensor:
    """CLIP's symmetric loss, a scalar, from all B x B logits at once."""
    x_BE, y_BE, t, _ = inputs(x_BE, y_BE, t, t)
    with torch.autocast(x_BE.device.type, enabled=False):
        logits_BB = t.exp() * (x_BE @ y_BE.T)
        pair_B = torch.arange(len(x_BE), device=x_BE.device)
        return (F.cross_entropy(logits_BB, pair_B) + F.cross_entropy(logits_BB.T, pair_B)) / 2


class _ByBlocks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BE: Tensor, y_BE: Tensor, t: Tensor, b: Tensor, block: int) -> Tensor:
        total = SumAndGradients(x_BE, y_BE, t, b)
        for i in range(0, len(x_BE), block):
            for j in range(0, len(y_BE), block):
                rows, columns = slice(i, i + block), slice(j, j + block)
                total.add(x_BE[rows], y_BE[columns], total.dx[rows], total.dy[columns], is_diagonal=i == j)
        ctx.save_for_backward(total.dx, total.dy, total.dt, total.db)
        ctx.pairs = len(x_BE)
        return total.loss / len(x_BE)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return *(gradient / ctx.pairs * saved for saved in ctx.saved_tensors), None


class SumAndGradients:
    """The sum over all pairs and its gradients, added up block by block."""

    def __init__(self, x_BE: Tensor, y_BE: Tensor, t: Tensor, b: Tensor) -> None:
        self.scale, self.b = t.exp(), b
        self.loss = x_BE.new_zeros(())
        self.dx, self.dy = torch.zeros_like(x_BE), torch.zeros_like(y_BE)
        self.dt, self.db = torch.zeros_like(t), torch.zeros_like(b)

    def add(self, x_ME: Tensor, y_NE: Tensor, dx_ME: Tensor, dy_NE: Tensor, is_diagonal: bool) -> None:
        """Adds one block's loss, and adds its gradients in place. is_diagonal: the block's diagonal has the pairs."""
        with torch.autocast(x_ME.device.type, enabled=False):
            cosine_MN = x_ME @ y_NE.T
            logits_MN = self.scale * cosine_MN + self.b
            self.loss += F.softplus(logits_MN).sum()
            d_MN = torch.sigmoid(logits_MN)  # the derivative of the loss with respect to its logits
            if is_diagonal:
                self.loss -= logits_MN.diagonal().sum()
                d_MN.diagonal().sub_(1)
            self.db += d_MN.sum()
            self.dt += self.scale * (d_MN * cosine_MN).sum()
            d_MN *= self.scale
            dx_ME += d_MN @ y_NE
            dy_NE += d_MN.T @ x_ME


def inputs(x_BE: Tensor, y_BE: Tensor, t: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Checks the shapes and converts to float32 or float64. Raises SiglipError for shapes that are not pairs."""
    if x_BE.ndim != 2 or x_BE.shape != y_BE.shape or len(x_BE) == 0:
        raise SiglipError(
            f"pairs need two tensors of equal shape [B, E] with B >= 1; got {list(x_BE.shape)} and {list(y_BE.shape)}"
        )
    dtype = torch.promote_types(torch.promote_types(x_BE.dtype, y_BE.dtype), torch.float32)
    return x_BE.to(dtype), y_BE.to(dtype), t.to(dtype), b.to(dtype)

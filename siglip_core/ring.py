"""The sigmoid loss over the ranks of torch.distributed, each of which has its own pairs (SigLIP, section 3.3).

Softmax needs all logits of a row at once. The sigmoid loss is a sum over pairs, so the texts can travel around a ring
of ranks, and each rank compares its images with the texts that it receives. After W steps it has seen the texts of all
W ranks, and has held those of one rank at a time.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from siglip_core.errors import SiglipError
from siglip_core.losses import SumAndGradients, inputs


def sigmoid_loss_ring(
    x_BE: Tensor, y_BE: Tensor, t: Tensor, b: Tensor, group: "dist.ProcessGroup | None" = None
) -> Tensor:
    """This rank's images against the texts of all ranks: a scalar whose mean over ranks is the loss of all pairs.

    Every rank must call it with the same shape [B, E], and call backward with the same factor. The texts' gradients
    travel around the ring back to their rank. Averaging the parameters' gradients over ranks, as
    DistributedDataParallel does, therefore gives the gradient of the loss of all pairs.

    Raises:
        SiglipError: the ranks have different shapes; raised on every rank.
    """
    x_BE, y_BE, t, b = inputs(x_BE, y_BE, t, b)
    _check_shapes(x_BE, group)
    loss: Tensor = _Ring.apply(x_BE, y_BE, t, b, group)  # type: ignore[no-untyped-call]
    return loss


class _Ring(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x_BE: Tensor, y_BE: Tensor, t: Tensor, b: Tensor, group: "dist.ProcessGroup | None"
    ) -> Tensor:
        total = SumAndGradients(x_BE, y_BE, t, b)
        y_BE, dy_BE = y_BE.contiguous(), total.dy
        for step in range(dist.get_world_size(group)):
            total.add(x_BE, y_BE, total.dx, dy_BE, is_diagonal=step == 0)
            # Gradients travel with their texts; after the last step both are back on their own rank.
            y_BE, dy_BE = _pass_on([y_BE, dy_BE], group)
        ctx.save_for_backward(total.dx, dy_BE, total.dt, total.db)
        ctx.pairs = len(x_BE)
        return total.loss / len(x_BE)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return *(gradient / ctx.pairs * saved for saved in ctx.saved_tensors), None


def _pass_on(tensors: list[Tensor], group: "dist.ProcessGroup | None") -> list[Tensor]:
    """Sends the tensors to the next rank of the ring, and returns those received from the previous rank."""
    rank, ranks = dist.get_rank(group), dist.get_world_size(group)
    received = [torch.empty_like(tensor) for tensor in tensors]
    operations = []
    for tensor, space in zip(tensors, received, strict=True):
        operations.append(dist.P2POp(dist.isend, tensor, group=group, group_peer=(rank + 1) % ranks))
        operations.append(dist.P2POp(dist.irecv, space, group=group, group_peer=(rank - 1) % ranks))
    if ranks == 1:
        return tensors
    for work in dist.batch_isend_irecv(operations):
        work.wait()
    return received


def _check_shapes(x_BE: Tensor, group: "dist.ProcessGroup | None") -> None:
    mine = torch.tensor(x_BE.shape, device=x_BE.device)
    shapes = [torch.empty_like(mine) for _ in range(dist.get_world_size(group))]
    dist.all_gather(shapes, mine, group=group)
    if any(not torch.equal(shape, mine) for shape in shapes):
        listed = ", ".join(f"rank {rank} {shape.tolist()}" for rank, shape in enumerate(shapes))
        raise SiglipError(f"ranks have different numbers of pairs or widths ({listed}); give all ranks the same shape")

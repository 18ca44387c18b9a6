"""What one rank does in the test of the ring; a module of its own, so that a fresh process can import it."""

from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from siglip_core import SiglipError
from siglip_core.ring import sigmoid_loss_ring

PAIRS, WIDTH = 12, 8
RANKS = 3


def leaves(dtype: torch.dtype = torch.float32, pairs: int = PAIRS) -> list[Tensor]:
    """x, y, t, b: unit vectors of which pairs are alike, and values at which neither tail of the sigmoid is flat."""
    generator = torch.Generator().manual_seed(0)
    x = F.normalize(torch.randn(pairs, WIDTH, generator=generator, dtype=torch.float64))
    y = F.normalize(x + 0.5 * torch.randn(pairs, WIDTH, generator=generator, dtype=torch.float64))
    return [z.to(dtype).requires_grad_() for z in (x, y, torch.tensor([1.5]), torch.tensor([-2.0]))]


def on_one_rank(rank: int, folder: Path) -> None:
    store = dist.FileStore(str(folder / "store"), RANKS)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=RANKS)
    x, y, t, b = leaves(torch.float64)
    mine = slice(rank * PAIRS // RANKS, (rank + 1) * PAIRS // RANKS)
    local = [z.detach()[mine].clone().requires_grad_() for z in (x, y)] + [t, b]
    loss = sigmoid_loss_ring(*local)
    loss.backward()
    torch.save([loss.detach(), *(leaf.grad for leaf in local)], folder / f"{rank}.pt")
    uneven = leaves(pairs=4 + rank)
    try:
        sigmoid_loss_ring(*uneven)
    except SiglipError as error:
        (folder / f"{rank}.txt").write_text(str(error))
    dist.destroy_process_group()

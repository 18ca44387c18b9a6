"""Blocks as a GPU computes them fast; shapes are named as in `siglip_core.model`, which they equal."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from siglip_core.model import Block, ImageTower, TextTower


def fuse(tower: ImageTower | TextTower) -> None:
    """Replaces the tower's blocks by fused ones, in place. The tower gives the same vectors but for rounding."""
    for place, block in enumerate(tower.blocks):
        assert isinstance(block, Block)
        tower.blocks[place] = FusedBlock(block)


class FusedBlock(nn.Module):
    """`model.Block`. Query, key and value are one product, as a GPU multiplies one wide matrix faster than three."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        attention = block.attention
        layers = attention.query, attention.key, attention.value
        self.norm1, self.norm2, self.mlp, self.out = block.norm1, block.norm2, block.mlp, attention.out
        self.heads = attention.heads
        self.weight = nn.Parameter(torch.cat([layer.weight for layer in layers]), requires_grad=False)
        self.bias = nn.Parameter(torch.cat([layer.bias for layer in layers]), requires_grad=False)

    def forward(self, x_BLD: Tensor, is_token_BL: Tensor | None = None) -> Tensor:
        qkv_BLX = F.linear(self.norm1(x_BLD), self.weight, self.bias)
        B, L, _ = x_BLD.shape
        q_BNLK, k_BNLK, v_BNLK = qkv_BLX.view(B, L, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mask_B11L = None if is_token_BL is None else is_token_BL[:, None, None, :]
        z_BNLK = F.scaled_dot_product_attention(q_BNLK, k_BNLK, v_BNLK, mask_B11L)
        x_BLD = x_BLD + self.out(z_BNLK.transpose(1, 2).flatten(-2))
        z_BLD: Tensor = x_BLD + self.mlp(self.norm2(x_BLD))
        return z_BLD

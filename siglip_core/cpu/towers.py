"""The parts of the towers as a CPU computes them fast; shapes are named as in `siglip_core.model`, which they equal.

- Linear layers are packed; bias, GELU and residual are part of the product.
- Query, key and value are one product. The scores of a few heads at a time stay in the cache.
- A single query attends to tokens without their keys and values: q·(W x) = (W'q)·x, and the mean of values is the
  value of the mean. So the MAP head costs next to nothing, and so does the last block of the text tower, of which only
  one position is used.
"""

import torch
from torch import Tensor, nn

from siglip_core.cpu.onednn import Packed
from siglip_core.model import Attention, Block, ImageTower, MapHead, TextTower

# The scores of the heads that are computed at once. More than the caches of the cores hold is slower, and so is less.
SCORE_BYTES = 2 << 20


def pack(tower: ImageTower | TextTower, rows: int) -> None:
    """Replaces the tower's parts by packed ones, in place, for products with about `rows` rows.

    Each part gives up its unpacked weights as soon as it is packed. The tower gives the same vectors but for rounding.
    It has no gradients.
    """
    last = len(tower.blocks) - 1
    for place, block in enumerate(tower.blocks):
        assert isinstance(block, Block)
        pooled = place == last and isinstance(tower, TextTower)
        tower.blocks[place] = PackedLastBlock(block) if pooled else PackedBlock(block, rows)
    if isinstance(tower, ImageTower):
        tower.patch_embedding = PackedLinear(tower.patch_embedding, rows)  # type: ignore[assignment]
        tower.head = PackedMapHead(tower.head)  # type: ignore[assignment]


class PackedLinear(nn.Module):
    def __init__(self, linear: nn.Linear, rows: int) -> None:
        super().__init__()
        self._packed = Packed(linear.weight, linear.bias, rows)

    def forward(self, x: Tensor) -> Tensor:
        return self._packed(x)


class PackedBlock(nn.Module):
    """`model.Block`."""

    def __init__(self, block: Block, rows: int) -> None:
        super().__init__()
        attention, mlp = block.attention, block.mlp
        query, key, value = attention.query, attention.key, attention.value
        scale = (query.out_features // attention.heads) ** -0.5  # of the scores: free here, a pass over them there
        weight = torch.cat([scale * query.weight, key.weight, value.weight])
        bias = torch.cat([scale * query.bias, key.bias, value.bias])
        self.norm1, self.norm2 = block.norm1, block.norm2
        self._heads = attention.heads
        self._query_key_value = Packed(weight, bias, rows)
        self._out = Packed(attention.out.weight, attention.out.bias, rows)
        self._fc1 = Packed(mlp.fc1.weight, mlp.fc1.bias, rows)
        self._fc2 = Packed(mlp.fc2.weight, mlp.fc2.bias, rows)

    def forward(self, x_BLD: Tensor, is_token_BL: Tensor | None = None) -> Tensor:
        z_BLD = attend(self._query_key_value(self.norm1(x_BLD)), self._heads, is_token_BL)
        x_BLD = self._out.add(z_BLD, x_BLD)
        return self._fc2.add(self._fc1.gelu(self.norm2(x_BLD)), x_BLD)


def attend(qkv_BLX: Tensor, heads: int, is_token_BL: Tensor | None) -> Tensor:
    """Query, key and value side by side, X = 3D, the query already scaled -> [B, L, D]. G heads of all images."""
    B, L, _ = qkv_BLX.shape
    qkv_3GLK = qkv_BLX.view(B, L, 3, heads, -1).permute(2, 0, 3, 1, 4).reshape(3, B * heads, L, -1)
    q_GLK, k_GKL, v_GLK = qkv_3GLK[0], qkv_3GLK[1].transpose(1, 2), qkv_3GLK[2]
    z_GLK = torch.empty_like(q_GLK)
    padding_G1L = None if is_token_BL is None else ~is_token_BL.repeat_interleave(heads, 0)[:, None]
    at_once = _heads_at_once(L, q_GLK.element_size())
    scores = q_GLK.new_empty(min(at_once, len(q_GLK)), L, L)
    for start in range(0, len(q_GLK), at_once):
        part = slice(start, start + at_once)
        s_GLL = scores[: len(q_GLK[part])]
        torch.bmm(q_GLK[part], k_GKL[part], out=s_GLL)
        if padding_G1L is not None:
            s_GLL.masked_fill_(padding_G1L[part], -torch.inf)
        torch.softmax(s_GLL, -1, out=s_GLL)
        torch.bmm(s_GLL, v_GLK[part], out=z_GLK[part])
    return z_GLK.view(B, heads, L, -1).transpose(1, 2).reshape(B, L, -1)


def _heads_at_once(length: int, size: int) -> int:
    threads = torch.get_num_threads()
    return max(1, SCORE_BYTES // (length**2 * size * threads)) * threads


class _OneQuery:
    """`model.Attention` of one query per image or text, by the means of the tokens instead of their values."""

    def __init__(self, attention: Attention) -> None:
        self._attention = attention

    def __call__(self, x_AD: Tensor, y_BLD: Tensor, is_token_BL: Tensor | None = None) -> Tensor:
        """x_AD: what the query is made of, A = B, or A = 1 for all -> [B, D]."""
        part, heads = self._attention, self._attention.heads
        key_NKD, value_NKD = (linear.weight.view(heads, -1, y_BLD.shape[-1]) for linear in (part.key, part.value))
        q_AD: Tensor = part.query(x_AD)
        q_NAK = q_AD.view(len(x_AD), heads, -1).transpose(0, 1)
        # The bias of keys adds the same to all tokens' scores, which softmax takes out.
        q_AND = (q_NAK @ key_NKD).transpose(0, 1) * key_NKD.shape[1] ** -0.5
        s_BNL = q_AND @ y_BLD.transpose(1, 2)
        if is_token_BL is not None:
            s_BNL = s_BNL.masked_fill(~is_token_BL[:, None], -torch.inf)
        mean_BND = s_BNL.softmax(-1) @ y_BLD
        z_NBK = mean_BND.transpose(0, 1) @ value_NKD.transpose(1, 2)
        z_BD: Tensor = part.out(z_NBK.transpose(0, 1).flatten(1) + part.value.bias)
        return z_BD


class PackedLastBlock(nn.Module):
    """`model.Block`, of which only the last position is used: [B, L, D] -> [B, 1, D]."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self._block, self._attention = block, _OneQuery(block.attention)

    def forward(self, x_BLD: Tensor) -> Tensor:
        y_BLD = self._block.norm1(x_BLD)
        x_BD = x_BLD[:, -1] + self._attention(y_BLD[:, -1], y_BLD)
        x_BD += self._block.mlp(self._block.norm2(x_BD))
        return x_BD[:, None]


class PackedMapHead(nn.Module):
    """`model.MapHead`."""

    def __init__(self, head: MapHead) -> None:
        super().__init__()
        self._head, self._attention = head, _OneQuery(head.attention)

    def forward(self, x_BLD: Tensor, is_token_BL: Tensor | None = None) -> Tensor:
        x_BD = self._attention(self._head.probe[0], x_BLD, is_token_BL)
        x_BD += self._head.mlp(self._head.norm(x_BD))
        return x_BD

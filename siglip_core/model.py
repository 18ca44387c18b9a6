"""SigLIP's two towers, in the order of the papers.

SigLIP    Zhai et al. 2023, "Sigmoid Loss for Language Image Pre-Training", arXiv 2303.15343
SigLIP 2  Tschannen et al. 2025, arXiv 2502.14786
ViT       Dosovitskiy et al. 2020, arXiv 2010.11929
MAP head  multihead attention pooling: Lee et al. 2018, "Set Transformer", arXiv 1810.00825, section 3.2;
          used for ViT by Zhai et al. 2021, "Scaling Vision Transformers", arXiv 2106.04560

Shapes are suffixes of names:
    B batch     H, W image height and width     C = 3 channels      P = patch * patch * C
    L tokens (patches, or the text's positions)  D width of a tower  E width of the embedding
    N heads     K = D / N width of one head      Q queries      V size of the vocabulary
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from siglip_core.variants import Spec, TextSpec, VisionSpec

LAYER_NORM_EPS = 1e-6  # big_vision (flax) default; PyTorch's 1e-5 moves the outputs visibly


class Attention(nn.Module):
    """Multihead attention of queries over keys and values; every layer has a bias (ViT, appendix A)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x_BQD: Tensor, y_BLD: Tensor, is_token_BL: Tensor | None = None) -> Tensor:
        """is_token_BL: False where y is padding, which no query may attend to; None if there is no padding."""
        q_BNQK = self.query(x_BQD).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k_BNLK = self.key(y_BLD).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        v_BNLK = self.value(y_BLD).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        mask_B11L = None if is_token_BL is None else is_token_BL[:, None, None, :]
        z_BNQK = F.scaled_dot_product_attention(q_BNQK, k_BNLK, v_BNLK, mask_B11L)
        z_BQD: Tensor = self.out(z_BNQK.transpose(1, 2).flatten(-2))
        return z_BQD


class Mlp(nn.Module):
    """Two layers with the tanh form of GELU, as in flax; erf-GELU is a different function at 1e-3."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x_BLD: Tensor) -> Tensor:
        y_BLD: Tensor = self.fc2(F.gelu(self.fc1(x_BLD), approximate="tanh"))
        return y_BLD


class Block(nn.Module):
    """Pre-norm transformer block (ViT, equations 2 and 3). Only NaFlex uses a mask; texts have none."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, LAYER_NORM_EPS)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, LAYER_NORM_EPS)
        self.mlp = Mlp(width, hidden)

    def forward(self, x_BLD: Tensor, is_token_BL: Tensor | None = None) -> Tensor:
        y_BLD = self.norm1(x_BLD)
        x_BLD = x_BLD + self.attention(y_BLD, y_BLD, is_token_BL)
        z_BLD: Tensor = x_BLD + self.mlp(self.norm2(x_BLD))
        return z_BLD


class MapHead(nn.Module):
    """Multihead attention pooling: one learned probe attends to all tokens, then a residual MLP follows."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.probe = nn.Parameter(torch.empty(1, 1, width))
        self.attention = Attention(width, heads)
        self.norm = nn.LayerNorm(width, LAYER_NORM_EPS)
        self.mlp = Mlp(width, hidden)

    def forward(self, x_BLD: Tensor, is_token_BL: Tensor | None = None) -> Tensor:
        probe_B1D = self.probe.expand(len(x_BLD), -1, -1)
        x_B1D = self.attention(probe_B1D, x_BLD, is_token_BL)
        x_B1D = x_B1D + self.mlp(self.norm(x_B1D))
        x_BD: Tensor = x_B1D[:, 0]
        return x_BD


def normalise(pixels: Tensor, dtype: torch.dtype) -> Tensor:
    """uint8 0..255 -> [-1, 1] (mean = std = 0.5). Computed in float32 and then cast, so that bfloat16 rounds once."""
    return (pixels.to(torch.float32) / 127.5 - 1.0).to(dtype)


def patchify(image_BHWC: Tensor, patch: int) -> Tensor:
    """[B, H, W, C] -> [B, L, P]: patches row by row, each flattened in (row, column, channel) order.

    Pixels beyond the last complete patch are dropped (VALID padding): 384 / 14 leaves a remainder of 6 pixels.
    """
    B, H, W, C = image_BHWC.shape
    rows, columns = H // patch, W // patch
    x = image_BHWC[:, : rows * patch, : columns * patch]
    x = x.reshape(B, rows, patch, columns, patch, C).transpose(2, 3)
    return x.reshape(B, rows * columns, patch * patch * C)


class ImageTower(nn.Module):
    """ViT without a class token, pooled by a MAP head; the pooled token is the embedding (E = D).

    NaFlex (SigLIP 2, "variable aspect and resolution") is the same tower on images of any aspect ratio. Its grid of
    positions is resized to each image's own grid of patches. Images are padded to form a batch; the padding is masked.
    """

    def __init__(self, spec: VisionSpec) -> None:
        super().__init__()
        self.patch_size = spec.patch_size
        self.grid = spec.grid
        self.patch_embedding = nn.Linear(spec.patch_size**2 * 3, spec.width)
        self.position_embedding = nn.Parameter(torch.empty(spec.tokens, spec.width))
        self.blocks = nn.ModuleList(Block(spec.width, spec.heads, spec.mlp) for _ in range(spec.depth))
        self.norm = nn.LayerNorm(spec.width, LAYER_NORM_EPS)
        self.head = MapHead(spec.width, spec.heads, spec.mlp)

    def forward(self, image_BHWC: Tensor) -> Tensor:
        """uint8 [B, H, W, 3], images of equal size -> embedding [B, E], not normalised."""
        rows, columns = (side // self.patch_size for side in image_BHWC.shape[1:3])
        return self._encode(patchify(image_BHWC, self.patch_size), self.positions(rows, columns))

    def naflex(self, images: list[Tensor]) -> Tensor:
        """B images, each uint8 [h, w, 3] with h and w multiples of the patch -> embedding [B, E], not normalised."""
        grids = [(image.shape[0] // self.patch_size, image.shape[1] // self.patch_size) for image in images]
        lengths = [rows * columns for rows, columns in grids]
        distinct = {grid: self.positions(*grid) for grid in set(grids)}
        patches_BLP = pad_sequence([patchify(image[None], self.patch_size)[0] for image in images], batch_first=True)
        position_BLD = pad_sequence([distinct[grid] for grid in grids], batch_first=True)
        if min(lengths) == max(lengths):
            return self._encode(patches_BLP, position_BLD)
        index_L = torch.arange(max(lengths), device=patches_BLP.device)
        is_token_BL = index_L < torch.tensor(lengths, device=index_L.device)[:, None]
        return self._encode(patches_BLP, position_BLD, is_token_BL)

    def positions(self, rows: int, columns: int) -> Tensor:
        """Position embeddings [rows * columns, D], resized in float32 unless the grid already has this size."""
        if (rows, columns) == (self.grid, self.grid):
            return self.position_embedding
        grid_1DHW = self.position_embedding.float().T.reshape(1, -1, self.grid, self.grid)
        grid_1DHW = F.interpolate(grid_1DHW, (rows, columns), mode="bilinear", align_corners=False, antialias=True)
        return grid_1DHW[0].flatten(1).T.to(self.position_embedding.dtype)

    def _encode(self, patches_BLP: Tensor, position: Tensor, is_token_BL: Tensor | None = None) -> Tensor:
        """uint8 patches [B, L, P] and their positions, [B, L, D] or one [L, D] for all images -> embedding [B, E]."""
        x_BLD = self.patch_embedding(normalise(patches_BLP, self.position_embedding.dtype)) + position
        for block in self.blocks:
            x_BLD = block(x_BLD, is_token_BL)
        z_BE: Tensor = self.head(self.norm(x_BLD), is_token_BL)
        return z_BE


class TextTower(nn.Module):
    """Bidirectional transformer over a text padded to its full length, pooled at the last position.

    The last position is padding in most texts. There is no mask, so padding counts like any token, and a text must be
    padded to the length the model was trained with.
    """

    def __init__(self, spec: TextSpec) -> None:
        super().__init__()
        # Without given weights, nn.Embedding draws random ones; on the meta device PyTorch then imports its compiler,
        # which takes 2 s.
        weight_VD = torch.empty(spec.vocab_size, spec.width)
        self.token_embedding = nn.Embedding(spec.vocab_size, spec.width, _weight=weight_VD)
        self.position_embedding = nn.Parameter(torch.empty(spec.length, spec.width))
        self.blocks = nn.ModuleList(Block(spec.width, spec.heads, spec.mlp) for _ in range(spec.depth))
        self.norm = nn.LayerNorm(spec.width, LAYER_NORM_EPS)
        self.head = nn.Linear(spec.width, spec.embedding_dim)

    def forward(self, tokens_BL: Tensor) -> Tensor:
        """int64 [B, L] with L the full length -> embedding [B, E], not normalised."""
        x_BLD = self.token_embedding(tokens_BL) + self.position_embedding
        for block in self.blocks:
            x_BLD = block(x_BLD)
        z_BE: Tensor = self.head(self.norm(x_BLD)[:, -1])
        return z_BE


class Siglip(nn.Module):
    """Both towers, and the temperature t and bias b of the sigmoid: logit = exp(t) x.y + b (SigLIP, section 3.2).

    Parameters are not initialised: load a checkpoint, or call `siglip_core.init.initialise`.
    """

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec = spec
        self.image = ImageTower(spec.vision)
        self.text = TextTower(spec.text)
        self.logit_scale = nn.Parameter(torch.empty(1))  # t: the log of the factor
        self.logit_bias = nn.Parameter(torch.empty(1))  # b

    def forward(self, image_BHWC: Tensor, tokens_BL: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 [B, H, W, 3] and int64 [B, L] -> unit-length image and text embeddings, each [B, E]."""
        return F.normalize(self.image(image_BHWC), dim=-1), F.normalize(self.text(tokens_BL), dim=-1)

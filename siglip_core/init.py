"""Initial weights for training from scratch, as big_vision draws them (models/vit.py, text_transformer.py)."""

import math

import torch
from torch import nn

from siglip_core.model import Attention, ImageTower, MapHead, Mlp, Siglip, TextTower


def initialise(model: Siglip, seed: int) -> Siglip:
    """Fills every parameter in place, reproducibly from `seed`, and returns the model.

    Temperature and bias start at t = log 10 and b = -10 (SigLIP, arXiv 2303.15343, section 3.2).
    """
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        _initialise_module(module, generator)
    nn.init.constant_(model.logit_scale, math.log(10.0))
    nn.init.constant_(model.logit_bias, -10.0)
    return model


def _initialise_module(module: nn.Module, generator: torch.Generator) -> None:
    match module:
        case nn.LayerNorm():
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        case Attention():
            for linear in (module.query, module.key, module.value, module.out):
                nn.init.xavier_uniform_(linear.weight, generator=generator)
                nn.init.zeros_(linear.bias)
        case Mlp():
            for linear in (module.fc1, module.fc2):
                nn.init.xavier_uniform_(linear.weight, generator=generator)
                nn.init.normal_(linear.bias, std=1e-6, generator=generator)
        case MapHead():
            nn.init.xavier_uniform_(module.probe, generator=generator)
        case ImageTower():
            _lecun_normal(module.patch_embedding, generator)
            width = module.position_embedding.shape[1]
            nn.init.normal_(module.position_embedding, std=1 / math.sqrt(width), generator=generator)
        case TextTower():
            width = module.position_embedding.shape[1]
            nn.init.normal_(module.token_embedding.weight, std=1 / math.sqrt(width), generator=generator)
            nn.init.normal_(module.position_embedding, std=1 / math.sqrt(width), generator=generator)
            _lecun_normal(module.head, generator)


def _lecun_normal(linear: nn.Linear, generator: torch.Generator) -> None:
    std = 1 / math.sqrt(linear.in_features)
    nn.init.trunc_normal_(linear.weight, std=std, a=-2 * std, b=2 * std, generator=generator)
    nn.init.zeros_(linear.bias)

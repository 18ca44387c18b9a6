"""Weights for training from scratch: what a model is told before it has seen anything."""

import torch
from siglip_models import spec

from siglip_core.init import initialise
from siglip_core.model import Siglip


def test_equal_seeds_give_equal_weights_and_others_do_not():
    first, same, other = (initialise(Siglip(spec()), seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["text.head.weight"], other["text.head.weight"])
    assert all(torch.isfinite(value).all() for value in first.values())


def test_places_near_each_other_are_alike_and_rows_differ_from_columns():
    image = initialise(Siglip(spec(resolution=64)), 0).image
    places = torch.nn.functional.normalize(image.position_embedding.detach(), dim=-1).reshape(8, 8, -1)
    here, beside, below, far = places[3, 3], places[3, 4], places[4, 3], places[7, 0]
    assert here @ beside > 0.8
    assert here @ below > 0.8
    assert here @ far < min(here @ beside, here @ below)
    assert beside @ below < here @ beside
    assert len(torch.unique(places.reshape(64, -1), dim=0)) == 64

"""The fused layers of a GPU, on a CPU: they give the plain ones' vectors."""

from copy import deepcopy

import pytest
import torch
from random_towers import SPECS, encode, towers

from siglip_core import Spec
from siglip_core.gpu import fuse


@SPECS
@pytest.mark.parametrize("count", [1, 17])
def test_fused_towers_give_the_plain_ones_embeddings(of: Spec, count: int) -> None:
    plain = towers(of, torch.float32)
    fused = deepcopy(plain)
    fuse(fused.image)
    fuse(fused.text)
    for found, wanted in zip(encode(fused, count), encode(plain, count), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)

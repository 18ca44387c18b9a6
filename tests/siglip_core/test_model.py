"""What the towers compute in the precision that their weights have."""

import pytest
import torch
from siglip_models import naflex_spec, random_model

from siglip_core.model import ImageTower, normalise, patchify


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_pixels_are_rounded_once(dtype: torch.dtype) -> None:
    pixels = torch.arange(256, dtype=torch.uint8)
    exact = pixels.double() / 127.5 - 1
    if dtype == torch.float32:
        torch.testing.assert_close(normalise(pixels, dtype).double(), exact, rtol=0, atol=1e-7)
    else:
        assert torch.equal(normalise(pixels, dtype), exact.to(dtype))


def tower() -> ImageTower:
    return random_model(naflex_spec()).image


@pytest.mark.parametrize("grid", [(2, 8), (3, 5), (6, 3)])
def test_positions_of_another_grid_are_resized_in_float32(grid: tuple[int, int]) -> None:
    low = tower().to(torch.bfloat16)
    whole = tower().to(torch.bfloat16).float()
    assert torch.equal(low.positions(*grid), whole.positions(*grid).to(torch.bfloat16))
    assert low.positions(*grid).shape == (grid[0] * grid[1], 24)


def test_positions_of_the_models_own_grid_are_its_parameter() -> None:
    found = tower()
    assert found.positions(4, 4) is found.position_embedding


def test_patches_go_row_by_row_and_hold_row_column_and_channel() -> None:
    image = torch.arange(5 * 7 * 3).reshape(1, 5, 7, 3)
    patches = patchify(image, 2)
    assert patches.shape == (1, 6, 12)
    for place, (row, column) in enumerate((r, c) for r in range(2) for c in range(3)):
        wanted = image[0, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        assert torch.equal(patches[0, place], wanted.reshape(-1))

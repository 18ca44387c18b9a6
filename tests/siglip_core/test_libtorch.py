"""torch's resampling through its C interface: the same numbers as through Python, without importing torch."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Iterator
from importlib import util

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from siglip_core import libtorch
from siglip_core.libtorch import Kernel, interpolate


@pytest.fixture
def anew() -> Iterator[None]:
    """The library is looked for anew, and again after the test."""
    libtorch.library.cache_clear()
    yield
    libtorch.library.cache_clear()


@pytest.mark.parametrize("kernel", ["bicubic", "bilinear"])
@pytest.mark.parametrize(
    ("size", "to"), [((48, 64), (22, 24)), ((30, 7), (30, 24)), ((5, 9), (40, 2)), ((1, 1), (3, 3))]
)
def test_the_numbers_are_those_of_python(kernel: Kernel, size: tuple[int, int], to: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    x_BCHW = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    wanted = F.interpolate(x_BCHW, to, mode=kernel, antialias=True)[0].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(interpolate(pixels, to, kernel), wanted)


def test_an_extent_leaves_out_what_lies_beyond() -> None:
    """The half of the last column that a decoder has added."""
    ramp = np.broadcast_to(np.arange(0, 250, 10, dtype=np.uint8)[None, :, None], (4, 25, 3)).copy()
    part = interpolate(ramp, (4, 12), "bilinear", (4, 24))
    np.testing.assert_allclose(part[0, 1:-1, 0], 10 * (np.arange(1, 11) * 2 + 0.5), atol=1)
    assert (interpolate(ramp, (4, 12), "bilinear")[0, 6:, 0] > part[0, 6:, 0]).all()


def test_torch_is_not_imported() -> None:
    code = (
        "import sys, numpy; from siglip_core.libtorch import interpolate; "
        "print(interpolate(numpy.full((9, 9, 3), 7, 'uint8'), (4, 4), 'bicubic').max(), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["7", "False"]


@pytest.mark.usefixtures("anew")
def test_where_the_library_needs_others_torch_finds_them(monkeypatch: pytest.MonkeyPatch) -> None:
    opened, failed = ctypes.CDLL, list[str]()

    def fails_once(path: str) -> ctypes.CDLL:
        if not failed:
            failed.append(path)
            raise OSError("libcudart.so.13: cannot open shared object file")
        return opened(path)

    monkeypatch.setattr(ctypes, "CDLL", fails_once)
    assert (interpolate(np.full((9, 9, 3), 7, np.uint8), (4, 4), "bicubic") == 7).all()
    assert failed


@pytest.mark.usefixtures("anew")
@pytest.mark.parametrize("without", ["torch", "function"])
def test_what_is_missing_is_named(without: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if without == "torch":
        monkeypatch.setattr(libtorch, "find_spec", lambda _name: None)
    else:
        python = util.find_spec("_ctypes")
        assert python is not None
        monkeypatch.setattr(ctypes, "CDLL", lambda _path: ctypes.PyDLL(python.origin))
    with pytest.raises(RuntimeError, match=r"pip install 'torch>=2\.13,<2\.14'"):
        libtorch.library()


def test_errors_of_torch_are_raised() -> None:
    with pytest.raises(RuntimeError, match="torch cannot resize an image: "):
        interpolate(np.zeros((2, 2, 3), np.uint8), (0, 2), "bicubic")

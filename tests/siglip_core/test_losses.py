"""The losses against their formulas in float64, and against each other's gradients."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from loss_ranks import PAIRS, RANKS, WIDTH, leaves, on_one_rank
from torch import Tensor

from siglip_core import SiglipError
from siglip_core.losses import sigmoid_loss, sigmoid_loss_by_blocks, softmax_loss

Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def sigmoid_formula(x: np.ndarray, y: np.ndarray, t: float, b: float) -> float:
    """Equation 1 of the paper, pair by pair."""
    total = 0.0
    for i in range(len(x)):
        for j in range(len(y)):
            z = 1 if i == j else -1
            total += np.log(1 / (1 + np.exp(z * -(np.exp(t) * x[i] @ y[j] + b))))
    return -total / len(x)


def softmax_formula(x: np.ndarray, y: np.ndarray, t: float) -> float:
    exp = np.exp(np.exp(t) * x @ y.T)
    rows, columns = np.diag(exp) / exp.sum(axis=1), np.diag(exp) / exp.sum(axis=0)
    return float(-(np.log(rows) + np.log(columns)).mean() / 2)


BLOCKS = [1, 5, PAIRS, 100]


def by_blocks(block: int) -> Loss:
    return lambda x, y, t, b: sigmoid_loss_by_blocks(x, y, t, b, block)


@pytest.mark.parametrize("loss", [sigmoid_loss, *map(by_blocks, BLOCKS)])
def test_sigmoid_is_the_papers_formula(loss: Loss) -> None:
    x, y, t, b = leaves(torch.float64)
    wanted = sigmoid_formula(x.detach().numpy(), y.detach().numpy(), t.item(), b.item())
    assert loss(x, y, t, b).item() == pytest.approx(wanted, rel=1e-12)
    assert loss(*leaves()).item() == pytest.approx(wanted, rel=1e-6)


def test_softmax_is_clips_formula() -> None:
    x, y, t, _ = leaves(torch.float64)
    wanted = softmax_formula(x.detach().numpy(), y.detach().numpy(), t.item())
    assert softmax_loss(x, y, t).item() == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize(
    "loss",
    [sigmoid_loss, by_blocks(5), lambda x, y, t, b: softmax_loss(x, y, t) + 0 * b.sum()],
    ids=["whole", "blocks", "softmax"],
)
def test_gradients_are_the_differences(loss: Loss) -> None:
    assert torch.autograd.gradcheck(loss, leaves(torch.float64, pairs=4))


def gradients(loss: Loss, given: list[Tensor]) -> list[Tensor]:
    (3 * loss(*given)).backward()
    return [leaf.grad for leaf in given if leaf.grad is not None]


@pytest.mark.parametrize("block", BLOCKS)
def test_blocks_have_the_gradients_of_the_whole(block: int) -> None:
    whole = gradients(sigmoid_loss, leaves())
    blocks = gradients(by_blocks(block), leaves())
    assert len(blocks) == 4
    for first, second in zip(whole, blocks, strict=True):
        assert first.abs().max() > 1e-3
        torch.testing.assert_close(second, first, rtol=1e-5, atol=1e-6)


def largest_tensor(loss: Loss, pairs: int) -> int:
    """Numbers in the largest tensor that forward and backward make."""
    from torch.utils._python_dispatch import TorchDispatchMode

    largest = 0

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            for tensor in out if isinstance(out, list | tuple) else [out]:
                if isinstance(tensor, Tensor):
                    largest = max(largest, tensor.numel())
            return out

    given = leaves(pairs=pairs)
    with Watch():
        loss(*given).backward()
    return largest


def test_blocks_need_the_memory_of_a_block() -> None:
    pairs = 256
    assert largest_tensor(sigmoid_loss, pairs) == pairs**2
    assert largest_tensor(by_blocks(16), pairs) == pairs * WIDTH  # the gradients; a block has 16 * 16


def test_half_precision_embeddings_are_computed_in_float32() -> None:
    x, y, t, b = leaves()
    with torch.autocast("cpu", torch.bfloat16):
        assert sigmoid_loss(x, y, t, b).item() == pytest.approx(sigmoid_loss(x, y, t, b).item(), rel=1e-6)
        loss = sigmoid_loss_by_blocks(x.bfloat16(), y.bfloat16(), t, b, 4)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(sigmoid_loss(x.bfloat16().float(), y.bfloat16().float(), t, b).item(), rel=1e-6)


def test_extreme_logits_stay_finite() -> None:
    x, y, _, b = leaves()
    t = torch.tensor([8.0], requires_grad=True)
    for loss in (sigmoid_loss, by_blocks(4)):
        value = loss(x, y, t, b)
        assert value.isfinite()
        assert all(leaf.isfinite().all() for leaf in torch.autograd.grad(value, [x, y, t, b]))


@pytest.mark.parametrize("shape", [(3, 8), (12, 7), (0, 8)])
def test_what_are_no_pairs_is_refused(shape: tuple[int, int]) -> None:
    x, _, t, b = leaves()
    other = torch.zeros(shape)
    with pytest.raises(SiglipError, match="equal shape"):
        sigmoid_loss(x if shape[0] else other, other, t, b)


def test_ring_is_the_whole_loss_over_ranks(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")  # a fork would inherit threads that torch has started
    processes = [context.Process(target=on_one_rank, args=(rank, tmp_path)) for rank in range(RANKS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * RANKS

    given = leaves(torch.float64)
    whole = sigmoid_loss(*given)
    whole.backward()
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in range(RANKS)]
    losses, dx, dy, dt, db = zip(*ranks, strict=True)
    torch.testing.assert_close(torch.stack(losses).mean(), whole.detach())
    # The mean over ranks of the losses is the whole, so its gradient is a third of what the ranks hold together.
    torch.testing.assert_close(torch.cat(dx) / RANKS, given[0].grad)
    torch.testing.assert_close(torch.cat(dy) / RANKS, given[1].grad)
    torch.testing.assert_close(torch.stack(dt).mean(dim=0), given[2].grad)
    torch.testing.assert_close(torch.stack(db).mean(dim=0), given[3].grad)
    for rank in range(RANKS):
        assert "rank 0 [4, 8], rank 1 [5, 8]" in (tmp_path / f"{rank}.txt").read_text()

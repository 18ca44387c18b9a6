"""Whole inputs in threads of their own: the vectors of one thread, whatever the counts; errors reach the caller."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from random_towers import SPECS, encode, towers
from siglip_models import spec
from torch import Tensor

from siglip_core import Spec, cpu
from siglip_core.cpu.side_by_side import side_by_side
from siglip_core.cpu.towers import pack
from siglip_core.model import ImageTower, Siglip


@pytest.fixture(params=[2, 3], name="threads")
def _threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


class _Both:
    """A model of which both towers are called through `cpu.Running`."""

    def __init__(self, model: Siglip) -> None:
        self.spec = model.spec
        self.image, self.text = (cpu.Running(tower, may_pack=False) for tower in (model.image, model.text))


@SPECS
@pytest.mark.parametrize("count", [1, 2, 3, 17])
@pytest.mark.parametrize("is_packed", [False, True])
def test_threads_give_the_embeddings_of_one_thread(
    of: Spec, count: int, is_packed: bool, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = towers(of, torch.float32)
    wanted = encode(model, count)
    monkeypatch.setattr(cpu, "TOKENS_AT_ONCE", 3 * of.vision.tokens)
    if is_packed:
        pack(model.image, rows=64)
        pack(model.text, rows=64)
    for found, true in zip(encode(_Both(model), count), wanted, strict=True):  # type: ignore[arg-type]
        torch.testing.assert_close(found, true, rtol=1e-5, atol=1e-5)


@pytest.fixture(name="calls")
def _calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, int, int]]:
    """Of the image tower: whether the caller's thread ran it, the threads of each operation, the images."""
    made: list[tuple[bool, int, int]] = []
    caller, forward = threading.current_thread(), ImageTower.forward

    def recorded(tower: ImageTower, image_BHWC: Tensor) -> Tensor:
        made.append((threading.current_thread() is caller, torch.get_num_threads(), len(image_BHWC)))
        return forward(tower, image_BHWC)

    monkeypatch.setattr(ImageTower, "forward", recorded)
    return made


def run(count: int) -> None:
    cpu.Running(towers(spec(), torch.float32).image, may_pack=False)(torch.zeros(count, 32, 32, 3, dtype=torch.uint8))


def test_each_thread_gets_equally_many_inputs_and_all_threads_share_the_rest(
    calls: list[tuple[bool, int, int]], threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "TOKENS_AT_ONCE", 5 * spec().vision.tokens)
    run(6 * threads + 1)
    assert sorted(calls) == [*[(False, 1, 3)] * (2 * threads), (True, threads, 1)]


def test_what_all_threads_share_is_as_much_as_they_have_alone(
    calls: list[tuple[bool, int, int]], threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "TOKENS_AT_ONCE", 1)
    run(2 * threads - 1)
    assert calls[-1] == (True, threads, threads - 1)


def test_fewer_inputs_than_threads_go_through_the_callers(calls: list[tuple[bool, int, int]], threads: int) -> None:
    run(threads - 1)
    assert calls == [(True, threads, threads - 1)]


def test_where_torch_has_one_thread_there_are_no_others(calls: list[tuple[bool, int, int]]) -> None:
    assert torch.get_num_threads() == 1
    run(3)
    assert calls == [(True, 1, 3)]


def test_an_error_in_a_thread_is_the_callers_and_the_threads_go_on() -> None:
    def refuse_odd(number: int) -> Tensor:
        if number % 2:
            raise ValueError(f"odd: {number}")
        return torch.tensor(number)

    with pytest.raises(ValueError, match="odd: 3"):
        side_by_side(refuse_odd, [0, 2, 3, 4, 5], threads=2)
    assert side_by_side(refuse_odd, [4, 2, 0], threads=2) == [4, 2, 0]


def test_several_callers_share_the_threads() -> None:
    used: set[str] = set()

    def double(number: int) -> Tensor:
        used.add(threading.current_thread().name)
        return torch.tensor(2 * number)

    with ThreadPoolExecutor(4) as callers:
        results = callers.map(lambda first: side_by_side(double, range(first, first + 9), threads=2), range(20))
    assert [[int(number) for number in found] for found in results] == [
        [2 * number for number in range(first, first + 9)] for first in range(20)
    ]
    assert 1 <= len(used) <= 2


def test_what_will_have_many_inputs_has_its_threads_started() -> None:
    """While they start, a caller that is new to torch would be told one thread, for good."""
    torch.set_num_threads(6)
    try:
        cpu.Running(towers(spec(), torch.float32).image, may_pack=False).expect_many()
        assert sum(thread.name.startswith("siglip-cpu") for thread in threading.enumerate()) >= 6
    finally:
        torch.set_num_threads(1)


def test_no_gradients_are_recorded_in_a_thread() -> None:
    weight = torch.ones(1, requires_grad=True)
    assert not any(y.requires_grad for y in side_by_side(lambda x: x * weight, [torch.ones(1)] * 2, threads=2))


def test_a_thread_that_begins_later_has_all_of_torchs_threads() -> None:
    """What a thread of ours sets for itself, torch takes for the setting of the process."""
    torch.set_num_threads(5)
    try:
        side_by_side(lambda number: torch.tensor(number), [1, 2, 3], threads=5)
        with ThreadPoolExecutor(1) as later:
            assert later.submit(torch.get_num_threads).result() == 5
        assert torch.get_num_threads() == 5
    finally:
        torch.set_num_threads(1)

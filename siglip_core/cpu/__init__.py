"""The towers on a CPU. Packed layers are faster on most; a short measurement on the machine itself decides."""

import logging
import time
from collections.abc import Callable
from itertools import pairwise
from threading import Lock
from typing import Any, TypeAlias

import torch
from torch import Tensor

from siglip_core.cpu import onednn
from siglip_core.cpu.side_by_side import side_by_side, start_threads
from siglip_core.cpu.towers import PackedBlock, pack
from siglip_core.model import Block, ImageTower, TextTower

log = logging.getLogger(__name__)

Tower: TypeAlias = ImageTower | TextTower

# Tokens that go through a tower at once, in each thread: what lies between two layers then stays in the cache, or at
# least in memory that is used again. With more tokens the C library maps new memory for each layer, which the system
# has to clear.
TOKENS_AT_ONCE = 800
PLAIN_INPUTS = 8  # a query has one text or image
LEAST_WIDTH = 64  # of a tower worth packing
# What is measured: as many tokens as go through the tower at once; if a block is large, fewer, of so many
# multiplications but no fewer than so many tokens. With few tokens, plain layers of a narrow tower look better than
# they are, as all that they write stays in the cache.
_MEASURED_MULTIPLICATIONS, _LEAST_TOKENS = 400_000_000, 256
# For how long in all. At least two runs of each count, after a first one. More than twenty tell no more.
_MEASURED_SECONDS, _LEAST_RUNS, _MOST_RUNS = 0.2, 2, 20


class Running:
    """A tower that encodes on a CPU, called as the tower itself. Several threads may call it.

    The first few inputs go through the tower as it is: packing costs as much time as they take. Then one block is
    measured with plain layers and with packed ones, and the whole tower is packed if that is faster. Where many inputs
    will come, `expect_many` has them all computed alike, from the first one on.
    """

    def __init__(self, tower: Tower, may_pack: bool) -> None:
        self.is_packed = False
        self._tower = tower
        self._undecided = may_pack and tower.position_embedding.shape[1] >= LEAST_WIDTH
        self._plain_left, self._lock = PLAIN_INPUTS, Lock()

    def expect_many(self) -> None:
        self._plain_left = 0
        if (threads := torch.get_num_threads()) > 1:
            start_threads(threads)

    def __call__(self, inputs_BX: Tensor) -> Tensor:
        """Images uint8 [B, H, W, 3] or token ids [B, L] -> embedding [B, E], not normalised."""
        return self._in_parts(self._tower, inputs_BX)

    def naflex(self, images: list[Tensor]) -> Tensor:
        """See `ImageTower.naflex`."""
        assert isinstance(self._tower, ImageTower)
        return self._in_parts(self._tower.naflex, images)

    def _in_parts(self, encode: Callable[[Any], Tensor], inputs: Tensor | list[Tensor]) -> Tensor:
        with self._lock:
            self._plain_left -= len(inputs)
            if self._undecided and self._plain_left < 0:
                self._undecided = False
                self.is_packed = speed_up(self._tower)
        threads, at_once = torch.get_num_threads(), inputs_at_once(self._tower)
        alike = len(inputs) - len(inputs) % threads if threads > 1 else 0
        beside = side_by_side(encode, _parts(inputs[:alike], at_once, threads), threads) if alike else []
        # Fewer inputs than threads are left, or there is one thread only: all threads share each operation.
        return torch.cat(beside + [encode(part) for part in _parts(inputs[alike:], at_once * threads, 1)])


def _parts(inputs: Tensor | list[Tensor], most: int, threads: int) -> list[Tensor | list[Tensor]]:
    """As few parts of at most `most` inputs as give each thread equally many parts, nearly equally long."""
    count = -(-len(inputs) // (most * threads)) * threads
    ends = [len(inputs) * place // max(1, count) for place in range(count + 1)]
    return [inputs[start:end] for start, end in pairwise(ends)]


def inputs_at_once(tower: Tower) -> int:
    """How many images or texts go through the tower at once, in each thread."""
    return max(1, TOKENS_AT_ONCE // len(tower.position_embedding))


def speed_up(tower: Tower) -> bool:
    """Packs the tower in place if that makes it faster here; returns whether it did. The log says what was found."""
    name, dtype = type(tower).__name__, tower.position_embedding.dtype
    if (why := onednn.missing(dtype)) is not None:
        log.warning("%s: computed by plain layers, which are slower: %s", name, why)
        return False
    rows = inputs_at_once(tower) * len(tower.position_embedding)
    try:
        plain, packed = _seconds_of_a_block(tower, rows)
    except RuntimeError as error:  # the operators are private: a later torch may refuse what this one takes
        log.warning("%s: computed by plain layers, which are slower: oneDNN refuses packed ones: %s", name, error)
        return False
    log.debug("%s: a block takes %.2f ms with plain layers, %.2f ms with packed ones", name, plain * 1e3, packed * 1e3)
    if packed < plain:
        pack(tower, rows)
    return packed < plain


def _seconds_of_a_block(tower: Tower, rows: int) -> tuple[float, float]:
    """(as it is, packed): the shortest runs of the first block, taken in turns."""
    block = tower.blocks[0]
    assert isinstance(block, Block)
    length, width = tower.position_embedding.shape
    weights = sum(parameter.numel() for parameter in block.parameters())
    tokens = max(_LEAST_TOKENS, min(rows, _MEASURED_MULTIPLICATIONS // weights))
    shape = max(1, tokens // length), length, width
    x_BLD = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(tower.position_embedding.dtype)
    packed, threads = PackedBlock(block, rows), torch.get_num_threads()
    # In a thread that has its operations alone: to change the caller's threads would change those of all later ones.
    (taken,) = side_by_side(lambda x: _shortest(block, packed, x), [x_BLD], threads)
    return taken


def _shortest(one: Callable[[Tensor], object], other: Callable[[Tensor], object], x: Tensor) -> tuple[float, float]:
    """By the CPU time of one thread: at the start of a run, readers may have all cores, and a call may wait for one."""
    taken: tuple[list[float], list[float]] = ([], [])
    until = time.thread_time() + _MEASURED_SECONDS
    while (runs := len(taken[1])) <= _LEAST_RUNS or (runs <= _MOST_RUNS and time.thread_time() < until):
        for call, seconds in zip((one, other), taken, strict=True):
            started = time.thread_time()
            call(x)
            seconds.append(time.thread_time() - started)
    return min(taken[0][1:]), min(taken[1][1:])

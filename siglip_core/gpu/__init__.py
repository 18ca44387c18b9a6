"""The towers on a GPU: fused layers, and copies that keep only their own thread waiting.

A GPU works through what it was given while Python prepares the next batch in another thread. A plain copy would end
that: it waits until the GPU has done all that was asked for before. So a batch goes there on a stream of its own, and
vectors come back by a copy of which only the end is waited for. Copies run beside the computation only from and to
pinned memory (CUDA C++ Programming Guide, "Asynchronous Concurrent Execution").
"""

import torch
from torch import Tensor

from siglip_core.gpu.towers import fuse

__all__ = ["Copies", "fuse"]


class Copies:
    """Between the memory of the machine and that of one GPU. Several threads may use it."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._sending = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def send(self, x: Tensor) -> Tensor:
        """The same tensor on the GPU, for the current stream. Returns before it is there."""
        pinned = x.pin_memory()  # torch keeps it until it is copied, and then uses the same pinned memory again
        with torch.cuda.stream(self._sending):
            sent = pinned.to(self._device, non_blocking=True)
        current = torch.cuda.current_stream(self._device)
        current.wait_stream(self._sending)
        sent.record_stream(current)  # its memory is used on another stream than the one that it was made on
        return sent

    def fetch(self, z: Tensor) -> Tensor:
        """A result of the current stream on the CPU. Waits for it, and for nothing that is asked for later."""
        fetched = torch.empty(z.shape, dtype=z.dtype, pin_memory=True)
        fetched.copy_(z, non_blocking=True)
        is_there = torch.cuda.Event()  # type: ignore[no-untyped-call]
        is_there.record(torch.cuda.current_stream(self._device))
        is_there.synchronize()
        return fetched.clone()  # pinned memory is scarce: this is used again

"""Connecting to Ray: signals meanwhile, and addresses where nothing is."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from pipeline.errors import SiglaneError
from pipeline.on_ray import cluster


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def interrupting() -> Iterator[None]:
    """SIGTERM interrupts, as it does in every command."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    yield
    signal.signal(signal.SIGTERM, before)


def _caught(number: int) -> bool:
    (caught,) = [
        line for line in Path("/proc/self/status").read_text("utf-8").splitlines() if line.startswith("SigCgt")
    ]
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


def _stopped_while_ray_takes_the_handler_away(*_arguments: object, **_more: object) -> None:
    ctypes.CDLL(None).signal(signal.SIGTERM, None)  # as its part in C++ does
    signal.alarm(60)  # as its handler does, whose alarm aborts the process
    deadline = time.monotonic() + 10
    while not _caught(signal.SIGTERM):
        assert time.monotonic() < deadline, "a SIGTERM would end the process"
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("moment", ["init", "shutdown"])
def test_a_signal_is_heard_once_ray_has_connected_or_gone(
    monkeypatch: pytest.MonkeyPatch, interrupting: None, moment: str
) -> None:
    calls = list[str]()
    monkeypatch.setattr(ray, "init", lambda *_arguments, **_more: calls.append("init"))
    monkeypatch.setattr(ray, "shutdown", lambda: calls.append("shutdown"))
    whole = getattr(ray, moment)

    def stopped(*_arguments: object, **_more: object) -> None:
        _stopped_while_ray_takes_the_handler_away()
        whole()

    monkeypatch.setattr(ray, moment, stopped)
    try:
        with pytest.raises(KeyboardInterrupt), cluster.connect(None):
            calls.append("work")
    finally:
        pending = signal.alarm(0)
    assert calls == (["init", "shutdown"] if moment == "init" else ["init", "work", "shutdown"])
    assert pending == 0
    assert signal.getsignal(signal.SIGTERM) is _interrupt


def test_an_address_where_nothing_listens_is_told_before_ray_tries_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    message = rf"Ray at 127\.0\.0\.1:{port}: .*refused; check --address and RAY_ADDRESS"
    with pytest.raises(SiglaneError, match=message), cluster.connect(f"127.0.0.1:{port}"):
        pass
    assert not ray.is_initialized()

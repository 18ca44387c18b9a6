"""Connecting to Ray: signals meanwhile, and addresses where nothing is."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
from pathlib import Path

import pytest
import ray

from pipeline.errors import SiglaneError, UsageError
from pipeline.on_ray import cluster
from tests.processes import wait_for


def _caught(number: int) -> bool:
    (caught,) = [
        line for line in Path("/proc/self/status").read_text("utf-8").splitlines() if line.startswith("SigCgt")
    ]
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("moment", ["init", "shutdown"])
def test_a_signal_is_heard_once_ray_has_connected_or_gone(
    monkeypatch: pytest.MonkeyPatch, moment: str, number: signal.Signals
) -> None:
    happened = list[str]()

    def interrupt(*_: object) -> None:
        happened.append("heard")
        raise KeyboardInterrupt

    def call_of_ray(name: str) -> None:
        if name == moment:
            ctypes.CDLL(None).signal(number, None)  # its part in C++ leaves no handler
            wait_for(lambda: _caught(number), "a signal would end the process")
            signal.alarm(60)  # its handler in C++ sets one, which aborts the process
            os.kill(os.getpid(), number)
            wait_for(lambda: signal.getitimer(signal.ITIMER_REAL)[0] == 0, "the alarm goes on")
        happened.append(name)

    monkeypatch.setattr(ray, "init", lambda *_arguments, **_more: call_of_ray("init"))
    monkeypatch.setattr(ray, "shutdown", lambda: call_of_ray("shutdown"))
    before = signal.signal(number, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt), cluster.connect(None):
            happened.append("work")
        assert signal.getsignal(number) is interrupt
    finally:
        signal.signal(number, before)
        signal.alarm(0)
    assert (
        happened
        == {
            "init": ["init", "heard", "shutdown"],
            "shutdown": ["init", "work", "shutdown", "heard"],
        }[moment]
    )


def test_a_process_that_is_connected_already_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = list[str]()
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "shutdown", lambda: gone.append("gone"))
    with pytest.raises(SiglaneError, match="already connected"), cluster.connect(None):
        pass
    assert not gone


def test_an_address_that_is_none_is_told() -> None:
    with pytest.raises(SiglaneError, match=r"Ray at a\.\.b:6379: .*; check --address"), cluster.connect("a..b:6379"):
        pass


def test_an_address_where_nothing_listens_is_told_before_ray_tries_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    message = rf"Ray at 127\.0\.0\.1:{port}: .*refused; check --address and RAY_ADDRESS"
    with pytest.raises(SiglaneError, match=message), cluster.connect(f"127.0.0.1:{port}"):
        pass
    assert not ray.is_initialized()


@pytest.mark.parametrize("address", ["localhost", "127.0.0.1:", ":6379", "127.0.0.1:ray", "ray://127.0.0.1"])
def test_an_address_without_a_host_or_a_port_is_told_as_that(address: str) -> None:
    message = rf"Ray at {address}: not a host with a port; give the cluster's address as HOST:6379"
    with pytest.raises(UsageError, match=message), cluster.connect(address):
        pass
    assert not ray.is_initialized()


def test_a_cluster_of_its_own_that_does_not_start_in_time_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(*_arguments: object, **_more: object) -> None:
        raise Exception("The current node timed out during startup.")  # noqa: TRY002 - as Ray does

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    message = r"Ray did not start: The current node timed out during startup\.; run the same command .* or give --local"
    with pytest.raises(SiglaneError, match=message), cluster.connect(None):
        pass

"""Connecting to Ray."""

from __future__ import annotations

import signal

import pytest
import ray

from pipeline.on_ray import cluster


def test_a_signal_while_ray_connects_interrupts_and_leaves_no_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_arguments: object, **_more: object) -> None:
        signal.alarm(60)  # as Ray's handler in C++ does, whose alarm aborts the process
        raise SystemExit(signal.SIGTERM)  # as its handler in Python does

    monkeypatch.setattr(ray, "init", stopped)
    try:
        with pytest.raises(KeyboardInterrupt), cluster.connect("127.0.0.1:1"):
            pass
    finally:
        pending = signal.alarm(0)
    assert pending == 0

"""A command that a signal stops says so in one line, whatever the signal breaks into."""

from __future__ import annotations

import os
import signal

import pytest
from pydantic import BaseModel

from jobs import command
from jobs.command import Result


class Nothing(BaseModel):
    """No option."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_error_that_a_signal_has_led_to_is_no_traceback(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(_options: Nothing) -> Result:
        try:
            os.kill(os.getpid(), number)
        except KeyboardInterrupt:  # as libraries do, where it comes amid their import
            raise AttributeError("module 'torch' has no attribute 'UntypedStorage'") from None
        return Result({}, "not stopped")

    previous = {kind: signal.getsignal(kind) for kind in (signal.SIGTERM, signal.SIGINT)}
    try:
        assert command.run(Nothing, work, "Does nothing.", []) == 130
    finally:
        for kind, handler in previous.items():
            signal.signal(kind, handler)
    assert capsys.readouterr().err.endswith("stopped; finished work is kept, run the same command again to continue\n")


def test_an_error_without_a_signal_is_shown_whole() -> None:
    def work(_options: Nothing) -> Result:
        raise AttributeError("a mistake")

    with pytest.raises(AttributeError, match="a mistake"):
        command.run(Nothing, work, "Does nothing.", [])

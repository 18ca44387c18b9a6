"""SIGTERM and Ctrl-C at random moments: what is finished is kept, the message says how to go on, and that is true."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.faults.share import SIGNALS
from tests.processes import Siglane, wait_until_it_listens
from tests.rows import assert_same_rows, rows_of


@pytest.mark.parametrize("engine", ["plain loop", "Ray", "a cluster of its own"], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_again_and_again_at_random_moments(
    siglane: Siglane,
    tmp_path: Path,
    dataset: Path,
    undisturbed: Path,
    model: Path,
    engine: list[str],
    number: signal.Signals,
) -> None:
    run = ["embed", "--input", dataset, "--table", "t", "--model", model, "--commit-seconds", "0", *engine]
    run += ["--batch-size", "4"]
    moments = random.Random(f"{engine} {number}")
    for _ in range(SIGNALS):
        process = siglane.start(*run)
        wait_until_it_listens(process)
        time.sleep(moments.uniform(0, 6))
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does
        else:
            process.send_signal(number)
        _, err = process.communicate(timeout=120)
        assert "Traceback" not in err
        if process.returncode == 0:  # done before its moment had come: another table
            assert_same_rows(rows_of(tmp_path / "t"), rows_of(undisturbed))
            (tmp_path / "t.lance").rename(tmp_path / f"{time.monotonic_ns()}.lance")
            continue
        # Python ends by SIGINT itself, which a shell shows as 130, where it was interrupted within an `exec`
        assert process.returncode in (130, -signal.SIGINT), err
        assert "finished work is kept, run the same command again to continue" in err.strip().splitlines()[-1], err
    siglane(*run)
    assert_same_rows(rows_of(tmp_path / "t"), rows_of(undisturbed))

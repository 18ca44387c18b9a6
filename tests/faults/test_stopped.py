"""A driver that is suspended, replaced by another run, and goes on: it ends, and nothing is lost or there twice."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.processes import Siglane, kill_process_group, wait_for_rows
from tests.rows import assert_same_rows, rows_of


def test_a_run_that_was_suspended_and_replaced_ends_without_harm(
    siglane: Siglane, tmp_path: Path, dataset: Path, undisturbed: Path, model: Path
) -> None:
    """With the true patience, half a minute: a lease's times are no option."""
    run = ["embed", "--input", dataset, "--table", "t", "--model", model, "--local", "--commit-seconds", "0"]
    run += ["--batch-size", "8"]
    suspended = siglane.start(*run)
    try:
        wait_for_rows(suspended, tmp_path / "t.lance")
        suspended.send_signal(signal.SIGSTOP)
        before = len(rows_of(tmp_path / "t", ["source", "source_row"]))
        assert before < 600
        summary = siglane(*run)
        # what the first was committing when it was stopped may land before the second has its turn, or not at all
        assert 0 < summary["read"] <= 600 - before
        assert_same_rows(rows_of(tmp_path / "t"), rows_of(undisturbed))

        suspended.send_signal(signal.SIGCONT)
        _, err = suspended.communicate(timeout=120)
    finally:
        kill_process_group(suspended)
    assert suspended.returncode in (0, 1), err
    if suspended.returncode == 1:
        assert "taken over by" in err.strip().splitlines()[-1]
    assert_same_rows(rows_of(tmp_path / "t"), rows_of(undisturbed))

"""What workers of a cluster, and their child processes, try again is in the run's summary."""

from __future__ import annotations

from pathlib import Path

from tests.counted_retries import assert_retries_are_counted
from tests.faulty_proxy import FaultyProxy
from tests.processes import Siglane
from tests.s3 import S3


def test_the_summary_counts_what_was_tried_again_in_workers(
    s3: S3, proxy: FaultyProxy, siglane: Siglane, model: Path
) -> None:
    """On a cluster that the run starts itself, whose workers have its environment."""
    assert_retries_are_counted(s3, proxy, siglane, model)

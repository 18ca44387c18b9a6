"""What workers of a cluster, and their child processes, try again is in the run's summary."""

from __future__ import annotations

from pathlib import Path

from tests.faulty_proxy import FaultyProxy
from tests.processes import Siglane
from tests.s3 import S3, put_pairs


def test_the_summary_counts_what_was_tried_again_in_workers(
    s3: S3, proxy: FaultyProxy, siglane: Siglane, tmp_path: Path, model: Path
) -> None:
    """On a cluster that the run starts itself, whose workers have its environment."""
    uri = f"{put_pairs(s3, tmp_path / 'in', 4, 1)}/in"
    proxy.fail("503", times=1, path="list-type")
    proxy.fail("500", times=2, path="01.parquet")
    proxy.fail("truncate", times=1, method="GET", path="03.parquet")

    summary = siglane("embed", "--input", uri, "--table", "t", "--model", model)

    assert summary["retries_by_cause"] == {"HTTP 503": 1, "HTTP 500": 2, "truncated": 1}
    assert summary["success"] == proxy.failed == 4

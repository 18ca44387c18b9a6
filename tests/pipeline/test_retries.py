"""What is tried again is counted wherever it happens, and told once, in the run's summary."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from pipeline.storage import retries
from tests.faulty_proxy import FaultyProxy
from tests.processes import Siglane
from tests.rows import rows_of
from tests.s3 import S3, put_pairs


def test_each_retry_is_told_once() -> None:
    retries.take()
    retries.add({"HTTP 503": 2})
    retries.add({"HTTP 503": 1, "timeout": 1})
    assert retries.take() == {"HTTP 503": 3, "timeout": 1}
    assert retries.take() == Counter()


def test_the_summary_counts_what_was_tried_again_in_children(
    s3: S3, proxy: FaultyProxy, siglane: Siglane, tmp_path: Path, model: Path
) -> None:
    """Reading is a child process's work; listing is the run's own."""
    uri = f"{put_pairs(s3, tmp_path / 'in', 4, 1)}/in"
    proxy.fail("503", times=1, path="list-type")
    proxy.fail("500", times=2, path="01.parquet")
    proxy.fail("truncate", times=1, method="GET", path="03.parquet")

    summary = siglane("embed", "--input", uri, "--table", "t", "--model", model, "--local")

    assert summary["retries_by_cause"] == {"HTTP 503": 1, "HTTP 500": 2, "truncated": 1}
    assert summary["retries"] == proxy.failed == 4
    assert "store.retries" not in next(iter(rows_of(tmp_path / "t").values()))

"""A run whose store fails now and then: what it tries again is counted wherever it happens, however it is run."""

from __future__ import annotations

from pathlib import Path

from tests.faulty_proxy import FaultyProxy
from tests.processes import Siglane
from tests.rows import rows_of
from tests.s3 import S3, put_pairs


def assert_retries_are_counted(s3: S3, proxy: FaultyProxy, siglane: Siglane, model: Path, *engine: str) -> None:
    """Listing, which is the run's own work, fails once; and reading, which is not, at two of four files.

    `engine`: options that say what runs it.
    """
    uri = f"{put_pairs(s3, siglane.folder / 'in', 4, 1)}/in"
    proxy.fail("503", times=1, path="list-type")
    proxy.fail("500", times=2, path="01.parquet")
    proxy.fail("truncate", times=1, method="GET", path="03.parquet")

    summary = siglane("embed", "--input", uri, "--table", "t", "--model", model, *engine)

    assert summary["retries_by_cause"] == {"HTTP 503": 1, "HTTP 500": 2, "truncated": 1}
    assert summary["retries"] == summary["success"] == proxy.failed == 4
    assert "store.retries" not in next(iter(rows_of(siglane.folder / "t").values()))

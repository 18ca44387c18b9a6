"""What workers of a cluster, and their child processes, try again is in the run's summary."""

from __future__ import annotations

from pathlib import Path

from tests import s3 as servers
from tests.faulty_proxy import faulty_proxy
from tests.processes import Siglane
from tests.s3 import environment
from tests.samples import jpeg, write_parquet


def test_the_summary_counts_what_was_tried_again_in_workers(siglane: Siglane, tmp_path: Path, model: Path) -> None:
    """On a cluster that the run starts itself, whose workers have its environment."""
    for index in range(4):
        write_parquet(tmp_path / "in" / f"{index:02d}.parquet", [jpeg(index)], [f"caption {index}"])
    with servers.moto() as s3, faulty_proxy(s3.port) as proxy, environment(proxy.url):
        uri = s3.put_folder(tmp_path / "in", f"{s3.bucket()}/in")
        proxy.fail("503", times=1, path="list-type")
        proxy.fail("500", times=2, path="01.parquet")
        proxy.fail("truncate", times=1, method="GET", path="03.parquet")

        summary = siglane("embed", "--input", uri, "--table", "t", "--model", model)

        assert summary["retries_by_cause"] == {"HTTP 503": 1, "HTTP 500": 2, "truncated": 1}
        assert summary["success"] == proxy.failed == 4

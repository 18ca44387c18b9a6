"""The server is killed and started again in mid-run: the run waits for it, or ends and goes on later."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from tests.processes import Siglane, kill_process_group, wait_for
from tests.rows import Rows, assert_same_rows
from tests.services.radosgw import Radosgw
from tests.services.store import rows_on

OUTAGES = int(os.environ.get("SIGLANE_OUTAGES", "4"))
"""in one run"""


def test_a_run_waits_for_a_server_that_is_killed_and_comes_back(
    gateway: Radosgw, siglane: Siglane, parquet: str, undisturbed: Rows, model: Path
) -> None:
    uri = f"{gateway.s3.bucket()}/db/t"
    moments = random.Random(0)
    process = siglane.start(*command(parquet, uri, model), "--json")
    wait_for_versions(gateway, uri, 2)
    for _ in range(OUTAGES):
        if process.poll() is None:
            gateway.kill()
            time.sleep(moments.uniform(0.1, 3))
            gateway.restart()
            time.sleep(moments.uniform(0, 0.5))
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert '"rejected": 0' in out
    assert_same_rows(rows_on(gateway.s3, uri), undisturbed)


def test_a_run_that_is_killed_during_an_outage_goes_on_when_the_server_is_back(
    gateway: Radosgw, siglane: Siglane, parquet: str, undisturbed: Rows, model: Path
) -> None:
    uri = f"{gateway.s3.bucket()}/db/t"
    process = siglane.start(*command(parquet, uri, model))
    wait_for_versions(gateway, uri, 3)
    gateway.kill()
    time.sleep(0.5)
    kill_process_group(process)
    gateway.restart()
    goes_on(gateway, siglane, parquet, uri, model, undisturbed)


@pytest.mark.timeout(600)
@pytest.mark.skipif("CI" in os.environ, reason="takes as long as a run is patient: two minutes")
def test_a_run_whose_server_stays_away_ends_and_goes_on_when_it_is_back(
    gateway: Radosgw, siglane: Siglane, parquet: str, undisturbed: Rows, model: Path
) -> None:
    uri = f"{gateway.s3.bucket()}/db/t"
    process = siglane.start(*command(parquet, uri, model))
    wait_for_versions(gateway, uri, 3)
    gateway.kill()
    try:
        _, err = process.communicate(timeout=280)
    finally:
        gateway.restart()
    assert process.returncode == 1, err
    assert "run the same command again when the store works" in err.splitlines()[-1]
    goes_on(gateway, siglane, parquet, uri, model, undisturbed)


def command(parquet: str, uri: str, model: Path) -> list[object]:
    run = ["embed", "--input", parquet, "--table", uri, "--model", model, "--local"]
    return [*run, "--commit-seconds", "0", "--batch-size", "8"]


def goes_on(gateway: Radosgw, siglane: Siglane, parquet: str, uri: str, model: Path, undisturbed: Rows) -> None:
    """The same command again takes what is there as done, and ends in the rows of an undisturbed run."""
    summary = siglane(*command(parquet, uri, model))
    assert (summary["rejected"], summary["skipped"] > 0) == (0, True)
    assert_same_rows(rows_on(gateway.s3, uri), undisturbed)


def wait_for_versions(gateway: Radosgw, uri: str, count: int) -> None:
    """Waits until this many commits have been made."""
    wait_for(lambda: len(gateway.s3.objects(f"{uri}.lance/_versions")) >= count, "the run commits nothing", 120)

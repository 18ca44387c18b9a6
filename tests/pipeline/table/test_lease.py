"""Two runs on one input: the second gives way to a living first, and takes over from a dead or silent one."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import lance
import pytest

from pipeline.errors import TableError
from pipeline.table import Lease, lease, open_table, parse, read_holders
from pipeline.table.lease import forget
from pipeline.table.uri import TableUri
from tests.embedding import embed
from tests.processes import start_python, wait_for
from tests.samples import write_photos


@pytest.fixture
def uri(tmp_path: Path, model: Path) -> TableUri:
    write_photos(tmp_path / "in", 1)
    embed(tmp_path / "in", tmp_path / "t", model)
    return parse(str(tmp_path / "t"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr(lease, "PATIENCE_SECONDS", 3.0)


def holders(uri: TableUri) -> list[lease.Holder]:
    return list(lease.read_holders(open_table(uri)).values())


HOLD = """
import sys, time
from pipeline.table import Lease, lease, open_table, parse
lease.HEARTBEAT_SECONDS = 0.2
with Lease(parse(sys.argv[1]), "embed of in") as held:
    held.keep()
    time.sleep(100)
"""


def held_elsewhere(uri: TableUri) -> subprocess.Popen[str]:
    process = start_python(HOLD, uri)
    wait_for(lambda: holders(uri), "the other process does not take the lease")
    return process


def test_a_lease_is_an_entry_that_goes_when_the_run_ends(uri: TableUri) -> None:
    with Lease(uri, "embed of in", job="02000000") as held:
        held.keep()
        (holder,) = holders(uri)
        assert (holder.work, holder.pid, holder.job) == ("embed of in", os.getpid(), "02000000")
        wait_for(lambda: len({holder.id for holder in holders(uri)}) == 1, "renewed as another's")
        held.keep()
    assert holders(uri) == []


def test_a_second_run_on_the_same_input_is_refused_while_the_first_lives(uri: TableUri) -> None:
    process = held_elsewhere(uri)
    with Lease(uri, "embed of in") as second, pytest.raises(TableError, match=rf"process {process.pid}\).*wait"):
        second.keep()
    with Lease(uri, "embed of another") as other:
        other.keep()
        assert len(holders(uri)) == 2


def test_the_lease_of_a_run_killed_on_this_machine_is_taken_at_once(
    uri: TableUri, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = held_elsewhere(uri)
    process.kill()
    process.wait()
    monkeypatch.setattr(lease, "PATIENCE_SECONDS", 1e9)
    with Lease(uri, "embed of in") as second:
        second.keep()
        assert [holder.pid for holder in holders(uri)] == [os.getpid()]


def test_a_silent_run_is_replaced_and_told_so(uri: TableUri) -> None:
    process = held_elsewhere(uri)
    process.send_signal(signal.SIGSTOP)
    with Lease(uri, "embed of in") as second:
        second.keep()
        process.send_signal(signal.SIGCONT)
        wait_for(lambda: holders(uri)[0].heartbeat, "no heartbeat")
        assert [holder.pid for holder in holders(uri)] == [os.getpid()]
        second.keep()


def test_a_run_that_was_replaced_ends(uri: TableUri) -> None:
    with Lease(uri, "embed of in") as first:
        first.keep()
        dataset = lance.dataset(uri.dataset)
        ((key, entry),) = lease.read_holders(open_table(uri)).items()
        dataset.update_config({key: lease.to_json(replace(entry, id="another", host="elsewhere"))})

        def told() -> bool:
            try:
                first.keep()
            except TableError as error:
                return "taken over by embed of in on elsewhere" in str(error)
            return False

        wait_for(told, "it does not notice")
    assert [holder.host for holder in holders(uri)] == ["elsewhere"]


def test_a_heartbeat_that_fails_is_not_the_last(
    uri: TableUri, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lease, "HEARTBEAT_SECONDS", 0.05)
    real, renewed = lance.LanceDataset.update_config, []
    with Lease(uri, "embed of in") as held:
        held.keep()

        def update_config(*arguments: Any) -> Any:
            renewed.append(None)
            if len(renewed) == 1:
                raise OSError("LanceError(IO): 503 Slow Down")
            return real(*arguments)

        monkeypatch.setattr(lance.LanceDataset, "update_config", update_config)
        wait_for(lambda: len(renewed) > 2, "no heartbeat behind the one that failed")
        held.keep()
    assert "no heartbeat: " in caplog.text
    assert holders(uri) == []


def test_only_entries_that_are_still_as_they_looked_are_forgotten(uri: TableUri) -> None:
    with Lease(uri, "embed of in") as held:
        held.keep()
        ((key, entry),) = read_holders(open_table(uri)).items()
        dead = replace(entry, id="dead")
        lance.dataset(uri.dataset).update_config({key + "0": lease.to_json(dead)})
        forget(uri, {key: replace(entry, heartbeat="2020-01-01T00:00:00+00:00"), key + "0": dead})
        assert [holder.id for holder in holders(uri)] == [entry.id]

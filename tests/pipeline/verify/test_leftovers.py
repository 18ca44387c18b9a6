"""What dead runs leave in a table's folder: found, and removed only where nobody is at work."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import lance
import pytest

from pipeline import processes, table
from pipeline.table import Lease, TableUri, lease
from pipeline.verify import Report, VerifyOptions, verify
from tests.embedding import embed
from tests.pipeline.table.test_commit import committer, some_rows, source_rows
from tests.processes import Siglane, kill_after_rows, start_python, wait_for, wait_for_rows
from tests.samples import jpeg, write_parquet


@pytest.fixture
def uri(tmp_path: Path) -> TableUri:
    uri = table.parse(str(tmp_path / "t"))
    committer(uri).commit([table.stage(uri, some_rows(0, 4))])
    return uri


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr(lease, "PATIENCE_SECONDS", 2.0)


def cleaned(uri: TableUri) -> Report:
    return verify(VerifyOptions(table=str(uri), clean=True))


def orphans(report: Report) -> list[str]:
    assert report.leftovers is not None
    return [file.path for file in report.leftovers.files]


def data_files(uri: TableUri) -> set[str]:
    return {f"data/{file.name}" for file in Path(uri.dataset, "data").iterdir()}


def enter(uri: TableUri, holder: lease.Holder) -> None:
    lance.dataset(uri.dataset).update_config({"siglane:at-work:x": lease.to_json(holder)})


def holder(**values: object) -> lease.Holder:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    plain = lease.Holder("embed of in", "elsewhere", 7, None, now, "elsewhere/boot", "1", heartbeat=now)
    return replace(plain, **values)  # type: ignore[arg-type]


def test_staged_files_of_nobody_are_counted_and_removed_when_asked(uri: TableUri) -> None:
    before = data_files(uri)
    table.stage(uri, some_rows(4, 8))
    report = verify(VerifyOptions(table=str(uri)))
    assert orphans(report) == sorted(data_files(uri) - before)
    found = {problem.check for problem in report.problems}
    assert found == {"unit-vectors", "incomplete-sources"}, "space that is lost is no damage of the rows"
    assert orphans(cleaned(uri)) == orphans(report)
    assert data_files(uri) == before
    assert orphans(cleaned(uri)) == []
    assert source_rows(uri) == [0, 1, 2, 3]


def test_files_of_any_version_that_is_kept_stay(uri: TableUri) -> None:
    committer(uri).commit([table.stage(uri, some_rows(4, 8))])
    lance.dataset(uri.dataset).delete("source_row = 5")
    lance.dataset(uri.dataset).tags.create("first", 1)
    committer(uri).merge_fragments(run_is_over=True)
    lance.dataset(uri.dataset).cleanup_old_versions(timedelta(0), error_if_tagged_old_versions=False)
    deletions = list(Path(uri.dataset, "_deletions").iterdir())
    deletion = Path(uri.dataset, "_deletions", "9-9-9.arrow")
    deletion.write_bytes(b"of a commit that never came")
    assert orphans(cleaned(uri)) == ["_deletions/9-9-9.arrow"]
    assert list(Path(uri.dataset, "_deletions").iterdir()) == [file for file in deletions if file != deletion]
    assert lance.dataset(uri.dataset, version="first").to_table().num_rows == 4
    assert source_rows(uri) == [0, 1, 2, 3, 4, 6, 7]


def test_nothing_is_removed_while_a_run_is_at_work_and_its_staged_rows_land(uri: TableUri) -> None:
    with Lease(uri, "embed of in") as held:
        held.keep()
        staged = table.stage(uri, some_rows(4, 8))
        report = cleaned(uri)
        assert report.leftovers is not None
        assert report.leftovers.files == ()
        assert [holder.pid for holder in report.leftovers.at_work] == [os.getpid()]
        assert report.not_checked == {"incomplete-sources": "a run is active"}
        committer(uri).commit([staged])
    assert lance.dataset(uri.dataset).to_table().num_rows == 8


def test_nothing_is_removed_under_a_run_elsewhere_that_gives_a_sign_of_life(uri: TableUri) -> None:
    table.stage(uri, some_rows(4, 8))
    code = (
        "import sys, time; from pipeline.table import Lease, lease, parse\n"
        "lease.HEARTBEAT_SECONDS = 0.2; lease._place = lambda: 'elsewhere/boot'\n"
        "with Lease(parse(sys.argv[1]), 'embed of in') as held:\n    held.keep(); time.sleep(100)"
    )
    start_python(code, uri)
    wait_for(lambda: lease.read_holders(table.open_table(uri)), "the other process does not take the lease")
    report = cleaned(uri)
    assert report.leftovers is not None
    assert len(report.leftovers.at_work) == 1
    assert len(data_files(uri)) == 2


def test_under_a_silent_run_elsewhere_only_old_files_are_removed(uri: TableUri) -> None:
    before = data_files(uri)
    table.stage(uri, some_rows(4, 8))
    (old,) = data_files(uri) - before
    long_ago = (datetime.now(UTC) - timedelta(days=8)).timestamp()
    os.utime(Path(uri.dataset, old), (long_ago, long_ago))
    table.stage(uri, some_rows(8, 12))
    enter(uri, holder())
    report = cleaned(uri)
    assert orphans(report) == [old]
    assert report.leftovers is not None
    assert [silent.host for silent in report.leftovers.silent] == ["elsewhere"]
    assert len(data_files(uri)) == 2
    assert len(lease.read_holders(table.open_table(uri))) == 1


@pytest.mark.parametrize(
    "dead",
    [
        {"place": processes.place(), "pid": 2**22 + 1},
        {"heartbeat": "2020-01-01T00:00:00+00:00"},
    ],
)
def test_the_entry_of_a_dead_run_goes_and_with_it_its_files(uri: TableUri, dead: dict[str, object]) -> None:
    before = data_files(uri)
    table.stage(uri, some_rows(4, 8))
    enter(uri, holder(**dead))
    report = cleaned(uri)
    assert report.leftovers is not None
    assert len(report.leftovers.dead) == 1
    assert data_files(uri) == before
    assert lease.read_holders(table.open_table(uri)) == {}


def test_a_killed_run_is_cleaned_up_after_and_goes_on(siglane: Siglane, tmp_path: Path, model: Path) -> None:
    dataset = tmp_path / "in"
    for file in range(8):
        numbers = range(file * 10, file * 10 + 10)
        write_parquet(dataset / f"{file}.parquet", [jpeg(n) for n in numbers], [f"caption {n}" for n in numbers])
    run = ["embed", "--input", dataset, "--table", "t", "--model", model, "--local", "--commit-seconds", 0]
    process = siglane.start(*run, "--batch-size", 1, "--precision", "float32")
    wait_for_rows(process, tmp_path / "t.lance")
    kill_after_rows(process, tmp_path / "t.lance")
    uri = table.parse(str(tmp_path / "t"))
    table.stage(uri, lance.dataset(uri.dataset).to_table())  # what it might have had staged
    found = verify(VerifyOptions(table=str(uri), input=(str(dataset),), clean=True))
    assert [problem.check for problem in found.problems] == ["new-sources"]
    assert orphans(found)
    assert found.leftovers is not None
    assert [dead.pid for dead in found.leftovers.dead.values()] == [process.pid]
    embed(dataset, tmp_path / "t", model)
    sound = verify(VerifyOptions(table=str(uri), input=(str(dataset),), sample=3))
    assert (sound.problems, sound.sampled, sound.rows) == ([], 3, 80)
    assert sound.leftovers == table.Leftovers((), {}, (), ())


def test_a_suspended_run_on_this_machine_is_alive(uri: TableUri) -> None:
    code = (
        "import sys, time; from pipeline.table import Lease, parse\n"
        "with Lease(parse(sys.argv[1]), 'embed of in') as held:\n    held.keep(); time.sleep(100)"
    )
    process = start_python(code, uri)
    wait_for(lambda: lease.read_holders(table.open_table(uri)), "the other process does not take the lease")
    process.send_signal(signal.SIGSTOP)
    table.stage(uri, some_rows(4, 8))
    assert orphans(cleaned(uri)) == []
    assert len(data_files(uri)) == 2

"""A store that fails: what passes is tried again, what stays ends the run, and neither costs or doubles a row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.errors import StorageError
from pipeline.storage import filesystems, lance_store, retries
from pipeline.table import lease
from tests import s3 as servers
from tests.embedding import embed
from tests.faulty_proxy import Fault, FaultyProxy
from tests.processes import Siglane
from tests.rows import Rows, assert_same_rows, rows_of
from tests.s3 import S3, put_pairs
from tests.samples import jpeg, write_photos

FILES, ROWS = 6, 4


@pytest.fixture(scope="module")
def bucket(s3: S3, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A bucket with six Parquet files of four pairs below `in`."""
    return put_pairs(s3, tmp_path_factory.mktemp("in"), FILES, ROWS)


@pytest.fixture(scope="module")
def undisturbed(bucket: str, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Rows:
    table = tmp_path_factory.mktemp("undisturbed") / "t"
    embed(f"{bucket}/in", table, model)
    return rows_of(table)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries and time limits of a second, not of minutes."""
    monkeypatch.setattr(retries, "LONGEST_DELAY_SECONDS", 0.05)
    monkeypatch.setattr(filesystems, "STALL_SECONDS", 1.0)
    monkeypatch.setattr(lance_store, "CLIENT_MAX_RETRIES", 4)
    monkeypatch.setattr(lease, "PATIENCE_SECONDS", 1.0)  # a run that ended here looks alive: its process is this one


def table_rows(s3: S3, table: str) -> Rows:
    return rows_of(table, storage_options={"aws_endpoint": s3.endpoint, "allow_http": "true"})


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("fault", ["429", "500", "503", "reset", "lost", "truncate", "stall"])
def test_an_input_whose_store_fails_for_a_while_gives_the_rows_of_an_undisturbed_run(
    proxy: FaultyProxy, tmp_path: Path, bucket: str, undisturbed: Rows, model: Path, fault: Fault
) -> None:
    retries.take()
    proxy.fail(fault, times=3, method="GET", path="parquet", after=4)
    embed(f"{bucket}/in", tmp_path / "t", model)
    assert_same_rows(rows_of(tmp_path / "t"), undisturbed)
    assert proxy.failed == 3
    # a connection that was used before and breaks is opened anew, once, by the HTTP client itself
    assert retries.take().total() in ((1, 2, 3) if fault in ("reset", "lost") else (3,))


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("fault", "after"),
    [("429", 5), ("500", 12), ("503", 5), ("reset", 5), ("reset", 12), ("lost", 12), ("truncate", 5)],
)
def test_a_table_whose_store_fails_for_a_while_gets_the_rows_of_an_undisturbed_run(
    s3: S3, proxy: FaultyProxy, bucket: str, undisturbed: Rows, model: Path, fault: Fault, after: int
) -> None:
    table = f"{bucket}/{fault}-{after}/t"
    proxy.fail(fault, times=3, path=f"{fault}-{after}/", after=after)
    embed(f"{bucket}/in", table, model, commit_seconds=0)
    assert proxy.failed == 3
    assert_same_rows(table_rows(s3, table), undisturbed)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("commit", range(4))
def test_a_commit_whose_answer_is_lost_lands_its_rows_once(
    s3: S3, proxy: FaultyProxy, bucket: str, undisturbed: Rows, model: Path, commit: int
) -> None:
    table = f"{bucket}/lost-{commit}/t"
    proxy.fail("lost", times=1, method="PUT", path="_versions/", after=commit)
    embed(f"{bucket}/in", table, model, commit_seconds=0)
    assert proxy.failed == 1
    assert_same_rows(table_rows(s3, table), undisturbed)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("fault", ["403", "500", "503", "reset", "truncate", "stall"])
def test_an_input_whose_store_stays_failed_ends_the_run_and_rejects_nothing(
    proxy: FaultyProxy, tmp_path: Path, bucket: str, undisturbed: Rows, model: Path, fault: Fault
) -> None:
    proxy.fail(fault, method="GET", path="parquet", after=8)
    with pytest.raises(StorageError, match="run the same command again"):
        embed(f"{bucket}/in", tmp_path / "t", model, commit_seconds=0)
    kept = rows_of(tmp_path / "t")
    assert 0 < len(kept) < FILES * ROWS
    assert {row["status"] for row in kept.values()} == {"success"}
    proxy.heal()
    embed(f"{bucket}/in", tmp_path / "t", model)
    assert_same_rows(rows_of(tmp_path / "t"), undisturbed)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("fault", ["403", "reset"])
def test_a_table_whose_store_stays_failed_ends_the_run_and_goes_on_later(
    s3: S3, proxy: FaultyProxy, bucket: str, undisturbed: Rows, model: Path, fault: Fault
) -> None:
    table = f"{bucket}/stays-{fault}/t"
    proxy.fail(fault, path=f"stays-{fault}/", after=30)
    with pytest.raises(StorageError, match="run the same command again"):
        embed(f"{bucket}/in", table, model, commit_seconds=0)
    assert 0 < len(table_rows(s3, table)) < FILES * ROWS
    proxy.heal()
    embed(f"{bucket}/in", table, model)
    assert_same_rows(table_rows(s3, table), undisturbed)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("fault", ["403", "503"])
def test_images_whose_store_refuses_them_are_no_rejects(
    s3: S3, proxy: FaultyProxy, tmp_path: Path, model: Path, fault: Fault
) -> None:
    """Each image is a request of its own here, and a missing one is a reject."""
    uri = s3.put_folder(write_photos(tmp_path / "photos", 8), f"{s3.bucket()}/in")
    lines = [{"url": f"images/{name}", "caption": name} for name in ("absent.jpg", *map("{}.jpg".format, range(40)))]
    for index in range(40):
        s3.put(f"{uri}/images/{index}.jpg", jpeg(index))
    s3.put(f"{uri}/list.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())
    proxy.fail(fault, method="GET", path="images/", after=30)
    with pytest.raises(StorageError, match="run the same command again"):
        embed(f"{uri}/list.jsonl", tmp_path / "t", model)
    proxy.heal()
    assert embed(f"{uri}/list.jsonl", tmp_path / "t", model) == {("success", None): 40, ("rejected", "no-image"): 1}


def test_credentials_that_are_refused_in_mid_run_end_it_with_exit_code_1_and_it_goes_on_when_they_are_restored(
    s3: S3, proxy: FaultyProxy, siglane: Siglane, bucket: str, undisturbed: Rows, model: Path
) -> None:
    table = f"{bucket}/refused/t"
    run = ["embed", "--input", f"{bucket}/in", "--table", table, "--model", model, "--local", "--commit-seconds", 0]
    proxy.fail("403", after=60)
    process = siglane.start(*run)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    assert "403" in err.splitlines()[-1] or "refused" in err.splitlines()[-1]
    assert "Traceback" not in err, err
    for secret in (servers.KEY, servers.SECRET):
        assert secret not in out + err
    assert 0 < len(table_rows(s3, table)) < FILES * ROWS

    proxy.heal()
    summary = siglane(*run)

    assert (summary["rejected"], summary["read"] + summary["skipped"]) == (0, FILES * ROWS)
    assert_same_rows(table_rows(s3, table), undisturbed)

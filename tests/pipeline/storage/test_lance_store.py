"""What Lance reads and writes on an S3 server: datasets as input, and every command's table."""

from __future__ import annotations

from pathlib import Path

import lance
import pytest

from jobs import cli
from pipeline.errors import StorageError
from pipeline.storage.lance_store import is_store_failure, store_failed
from tests import s3 as servers
from tests.embedding import embed
from tests.faulty_proxy import faulty_proxy
from tests.pipeline.sources.formats.test_lance_table import pairs
from tests.processes import Siglane
from tests.rows import assert_same_rows, rows_of
from tests.s3 import S3, environment
from tests.samples import write_photos


def test_a_bucket_whose_region_is_unknown_is_no_failure_that_passes() -> None:
    error = OSError("LanceError(IO): Generic S3 error: Failed to resolve region for bucket 'photos', /src/io.rs:3")
    assert is_store_failure(error)
    line = str(store_failed("table s3://photos/db/t", error))
    assert "s3://photos/db/t" in line
    assert "set AWS_REGION" in line
    assert "check the bucket's name" in line
    assert "when the store works" not in line


def test_missing_credentials_are_called_so() -> None:
    error = OSError("LanceError(IO): Generic N/A error: Failed to get AWS credentials: ProviderError, /src/io.rs:3")
    line = str(store_failed("table s3://photos/db/t", error))
    assert "there are no credentials; set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION correctly" in line
    assert "ProviderError" not in line


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two fragments of three and two rows."""
    lance.write_dataset(pairs(0, 5), tmp_path / "x.lance", max_rows_per_file=3)
    return tmp_path / "x.lance"


def test_a_lance_dataset_in_a_bucket_gives_the_rows_of_a_local_one(
    s3: S3, dataset: Path, tmp_path: Path, model: Path
) -> None:
    uri = s3.put_folder(dataset, f"{s3.bucket()}/in/x.lance")
    embed(dataset, tmp_path / "local", model)
    assert embed(uri, tmp_path / "t", model) == {("success", None): 5}
    assert_same_rows(rows_of(tmp_path / "t"), rows_of(tmp_path / "local"))


def test_a_lance_dataset_whose_store_fails_ends_the_run_and_rejects_nothing(
    s3: S3, dataset: Path, tmp_path: Path, model: Path
) -> None:
    uri = s3.put_folder(dataset, f"{s3.bucket()}/in/x.lance")
    with faulty_proxy(s3.port) as proxy, environment(proxy.url):
        proxy.fail("403", path="/data/", method="GET", after=1)
        with pytest.raises(StorageError, match="its store refuses these credentials"):
            embed(uri, tmp_path / "t", model, commit_seconds=0)
        proxy.heal()
        proxy.fail("503", times=2, path="/data/", method="GET")
        embed(uri, tmp_path / "t", model)
        assert proxy.failed > 2
    assert {row["status"] for row in rows_of(tmp_path / "t").values()} == {"success"}
    assert len(rows_of(tmp_path / "t")) == 5


def test_every_command_works_on_a_table_in_a_bucket_and_shows_no_secret(
    s3: S3, tmp_path: Path, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    uri = f"{s3.bucket()}/db/t"
    write_photos(tmp_path / "in", 10)
    said = ""

    def run(*command: object) -> str:
        nonlocal said
        assert cli.main([*map(str, command), "--json"]) == 0
        out, err = capfd.readouterr()
        said += out + err
        return out

    run("embed", "--input", tmp_path / "in", "--table", uri, "--model", model, "--local")
    assert '"scored": 10' in run("score", "--table", uri)
    assert '"kept": 3' in run(
        "filter", "--table", uri, "--by", "cosine", "--top-fraction", 0.3, "--output", tmp_path / "kept"
    )
    assert "a red square, number 0" in run("query", "--table", uri, "--text", "a red square, number 0", "-k", 10)
    assert '"ok": true' in run("verify", "--table", uri)
    kept = [file.read_bytes() for file in (tmp_path / "kept").rglob("*") if file.is_file()]
    for secret in (servers.KEY, servers.SECRET):
        assert secret not in said
        assert not [data for data in [*s3.objects(uri).values(), *kept] if secret.encode() in data]


def test_a_table_whose_store_fails_is_no_traceback(s3: S3, siglane: Siglane, tmp_path: Path, model: Path) -> None:
    uri = f"{s3.bucket()}/db/t"
    embed(write_photos(tmp_path / "in", 3), uri, model)
    with faulty_proxy(s3.port) as proxy, environment(proxy.url):
        proxy.fail("403", path="/data/")
        line = siglane.fails("score", "--table", uri, code=1)
        assert "its store refuses these credentials" in line
        proxy.fail("403")
        assert "its store refuses these credentials" in siglane.fails("query", "--table", uri, "--text", "a", code=1)

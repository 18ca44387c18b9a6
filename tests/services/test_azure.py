"""What is Azure's own: how an account is named, and what its library does by itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import lance
import pytest

from pipeline import storage
from pipeline.errors import UsageError
from pipeline.storage import filesystems, retries
from tests.embedding import embed
from tests.faulty_proxy import Fault, faulty_proxy
from tests.pipeline.sources.formats.test_lance_table import pairs
from tests.processes import Siglane
from tests.rows import assert_same_rows, rows_of
from tests.s3 import put_pairs
from tests.samples import write_photos
from tests.services.azurite import Azurite, environment
from tests.services.store import rows_on


def test_a_signature_in_the_place_of_the_key_reads_and_writes(azurite: Azurite, tmp_path: Path, model: Path) -> None:
    from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

    signature = generate_account_sas(
        azurite.account,
        azurite.key,
        ResourceTypes(container=True, object=True),
        AccountSasPermissions(read=True, write=True, delete=True, list=True, create=True),
        datetime.now(UTC) + timedelta(hours=1),
        protocol="http",
    )
    bucket = azurite.bucket()
    folder = azurite.put_folder(write_photos(tmp_path / "in", 5), f"{bucket}/in")
    named = f"AccountName={azurite.account};SharedAccessSignature={signature};BlobEndpoint={azurite.endpoint}"
    with environment(named):
        assert embed(folder, f"{bucket}/db/t", model) == {("success", None): 5}
        assert storage.redact(f"refused: {signature}") == "refused: …"
    assert len(rows_on(azurite, f"{bucket}/db/t")) == 5


def test_an_account_that_nothing_names_is_one_line(azurite: Azurite, siglane: Siglane, tmp_path: Path) -> None:
    run = ["embed", "--model", tmp_path, "--local"]
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("AZURE_STORAGE_CONNECTION_STRING")
        for line in (
            siglane.fails(*run, "--input", "az://container/in", "--table", "t", code=1),
            siglane.fails("status", "--table", "az://container/db/t", code=1),
        ):
            assert "account" in line
            assert "correct" in line or "docs/storage.md" in line


def test_a_table_in_a_container_that_is_not_there_is_refused(azurite: Azurite, tmp_path: Path, model: Path) -> None:
    with pytest.raises(UsageError, match="create the bucket"):
        embed(write_photos(tmp_path / "in", 1), "az://absent/db/t", model)


def test_a_folder_is_listed_anew_each_time(azurite: Azurite, tmp_path: Path) -> None:
    uri = f"{azurite.bucket()}/in"
    azurite.put_folder(write_photos(tmp_path / "first", 1), uri)
    assert [file.path for file in storage.list_files(uri).files] == ["photo0000.jpg", "photo0000.txt"]
    azurite.put_folder(write_photos(tmp_path / "more", 1, first=1), f"{uri}/more")
    azurite.put_folder(write_photos(tmp_path / "beside", 1, first=2), f"{uri}-beside")
    listed = [file.path for file in storage.list_files(uri).files]
    assert listed == ["more/photo0001.jpg", "more/photo0001.txt", "photo0000.jpg", "photo0000.txt"]
    assert [file.path for file in storage.list_files(f"{uri}/m*/*.jpg").files] == ["more/photo0001.jpg"]


def test_a_lance_dataset_in_a_container_gives_the_rows_of_a_local_one(
    azurite: Azurite, tmp_path: Path, model: Path
) -> None:
    lance.write_dataset(pairs(0, 5), tmp_path / "x.lance", max_rows_per_file=3)
    uri = azurite.put_folder(tmp_path / "x.lance", f"{azurite.bucket()}/in/x.lance")
    embed(tmp_path / "x.lance", tmp_path / "local", model)
    assert embed(uri, tmp_path / "t", model) == {("success", None): 5}
    assert_same_rows(rows_of(tmp_path / "t"), rows_of(tmp_path / "local"))


@pytest.mark.parametrize(
    ("fault", "counted"),
    [
        *(("429", {3}), ("500", {3}), ("503", {3})),
        *(("reset", {1, 2, 3}), ("lost", {1, 2, 3})),  # a kept connection that breaks is opened anew, uncounted
        *(("truncate", {1}), ("stall", {1})),  # an answer that ends too early is asked for twice more, uncounted
    ],
)
def test_an_input_whose_server_fails_for_a_while_is_asked_again_and_counted(
    azurite: Azurite, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault, counted: set[int]
) -> None:
    monkeypatch.setattr(retries, "LONGEST_DELAY_SECONDS", 0.05)
    monkeypatch.setattr(filesystems, "STALL_SECONDS", 1.0)
    uri = f"{put_pairs(azurite, tmp_path / 'in', 6, 4)}/in"
    with faulty_proxy(azurite.port) as proxy:
        proxied = Azurite(int(proxy.url.rpartition(":")[2]), azurite.account, azurite.key)
        with environment(proxied.connection_string()):
            retries.take()
            proxy.fail(fault, times=3, method="GET", path="parquet", after=4)
            assert embed(uri, tmp_path / "t", model) == {("success", None): 24}
            assert proxy.failed == 3
            assert retries.take().total() in counted

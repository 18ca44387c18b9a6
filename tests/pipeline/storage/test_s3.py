"""Input and tables on an S3 server; `make test-services` does the same on a real one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline import search, storage
from pipeline import table as tables
from pipeline.errors import InputError, UsageError
from pipeline.table import TableUri
from pipeline.verify import VerifyOptions, verify
from tests import s3 as servers
from tests.embedding import embed
from tests.faulty_proxy import faulty_proxy
from tests.rows import assert_same_rows, rows_of
from tests.s3 import S3, environment
from tests.samples import jpeg, write_parquet, write_photos


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos", 6)


def test_a_bucket_is_listed_and_read_as_a_folder_is(s3: S3, tmp_path: Path, photos: Path) -> None:
    (photos / "deep").mkdir()
    (photos / "deep" / "x.jpg").write_bytes(jpeg(9))
    uri = s3.put_folder(photos, s3.bucket() + "/in")
    ours, local = storage.list_files(uri).files, storage.list_files(str(photos)).files
    assert [(f.path, f.size) for f in ours] == [(f.path, f.size) for f in local]
    assert [storage.read_bytes(f.uri) for f in ours] == [storage.read_bytes(f.uri) for f in local]
    assert storage.list_files(f"{uri}/photo{{0000..0005}}.jpg").files == storage.list_files(f"{uri}/p*.jpg").files
    assert [f.path for f in storage.list_files(f"{uri}/**/x.jpg").files] == ["deep/x.jpg"]
    with storage.local_copy(ours[0].uri) as copy:
        assert copy.read_bytes() == (photos / ours[0].path).read_bytes()


def test_what_is_not_in_a_store_is_named(s3: S3) -> None:
    uri = s3.bucket()
    s3.put(f"{uri}/00.tar", b"x")
    for absent in (f"{uri}/in", "s3://no-such-bucket-anywhere/in"):
        with pytest.raises(InputError, match=f"input {absent}: no such file or folder; check --input"):
            storage.list_files(absent)
    with pytest.raises(InputError, match=r"no file or folder matches s3://\S+/01\.tar"):
        storage.list_files(f"{uri}/{{00..02}}.tar")


def test_input_and_table_in_a_bucket_give_the_rows_of_local_ones(
    s3: S3, tmp_path: Path, photos: Path, model: Path
) -> None:
    bucket = s3.bucket()
    uri = s3.put_folder(photos, f"{bucket}/in")
    expected = embed(photos, tmp_path / "local", model)
    assert embed(uri, f"{bucket}/db/t", model) == expected
    assert embed(uri, tmp_path / "t", model) == expected
    assert embed(uri, f"{bucket}/db/t", model) == {}

    theirs = rows_of(tmp_path / "local")
    for table in (tmp_path / "t", f"{bucket}/db/t"):
        ours = rows_of(table, storage_options=_options(s3, table))
        for row in [*ours.values(), *theirs.values()]:
            row["source_version"] = row["source_version"].partition("-")[0]
        assert_same_rows(ours, theirs)
    assert len(search.open(f"{bucket}/db/t").by_text("a red square", k=3)) == 3


def _options(s3: S3, table: object) -> dict[str, str] | None:
    return {"aws_endpoint": s3.endpoint, "allow_http": "true"} if str(table).startswith("s3://") else None


def test_credentials_and_endpoint_are_written_nowhere(
    s3: S3, photos: Path, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bucket = s3.bucket()
    embed(s3.put_folder(photos, f"{bucket}/in"), f"{bucket}/db/t", model)
    written = s3.objects(f"{bucket}/db")
    assert len(written) >= 3
    shown = "".join(capfd.readouterr()).encode()
    for secret in (servers.KEY, servers.SECRET, s3.endpoint):
        assert not [path for path, data in written.items() if secret.encode() in data]
        assert secret.encode() not in shown


def test_a_dataset_copied_to_another_bucket_is_the_same(s3: S3, photos: Path, model: Path, tmp_path: Path) -> None:
    one, other = s3.put_folder(photos, f"{s3.bucket()}/in"), s3.put_folder(photos, f"{s3.bucket()}/a/b")
    embed(one, tmp_path / "t", model)
    assert embed(other, tmp_path / "t", model) == {}


def test_a_folder_copied_to_a_bucket_is_the_same_and_what_changes_there_is_named(
    s3: S3, photos: Path, model: Path, tmp_path: Path
) -> None:
    embed(photos, tmp_path / "t", model)
    uri = s3.put_folder(photos, f"{s3.bucket()}/a/b")
    assert embed(uri, tmp_path / "t", model) == {}
    versions = rows_of(tmp_path / "t", ["source", "source_row", "source_version"]).values()
    sizes = {row["source"]: row["source_version"].count("-") for row in versions}
    assert sizes == {f"photo{number:04d}.jpg": 2 for number in range(6)}, "an etag for each image and its caption"
    s3.put(f"{uri}/photo0002.txt", (photos / "photo0002.txt").read_bytes().replace(b"birds", b"words"))
    with pytest.raises(InputError, match=r"photo0002\.jpg: changed .* \(row 0 has another caption\)"):
        embed(uri, tmp_path / "t", model)


def test_the_probe_passes_and_leaves_nothing(s3: S3, photos: Path, model: Path) -> None:
    bucket = s3.bucket()
    embed(photos, f"{bucket}/db/t", model)
    folders = {path.removeprefix("db/t.lance/").partition("/")[0] for path in s3.objects(f"{bucket}/db")}
    assert folders <= {"data", "_versions", "_transactions"}


def test_a_store_that_overwrites_in_spite_of_the_condition_is_refused(s3: S3, photos: Path, model: Path) -> None:
    bucket = s3.bucket()
    with faulty_proxy(s3.port) as proxy, environment(proxy.url):
        proxy.fail("unconditional", method="PUT")
        with pytest.raises(UsageError, match=r"its store ignores conditional writes"):
            embed(photos, f"{bucket}/db/t", model)
    assert s3.objects(bucket) == {}


def test_a_table_in_a_bucket_that_is_not_there_is_refused(s3: S3, photos: Path, model: Path) -> None:
    with pytest.raises(UsageError, match="create the bucket, or choose another --table"):
        embed(photos, "s3://no-such-bucket-anywhere/db/t", model)


@pytest.mark.parametrize("pattern", ["", "/", "/**", "/*", "/{db,photo0000.jpg}"])
def test_a_table_within_the_input_is_refused(s3: S3, photos: Path, model: Path, pattern: str) -> None:
    uri = s3.put_folder(photos, f"{s3.bucket()}/in")
    s3.put(f"{uri}/db/x.jpg", jpeg(1))
    with pytest.raises(UsageError, match="is inside the input"):
        embed(uri + pattern, f"{uri}/db/t", model)


def test_parquet_in_a_bucket_is_read_by_row_groups(s3: S3, tmp_path: Path, model: Path) -> None:
    write_parquet(tmp_path / "in.parquet", [jpeg(i) for i in range(40)], [f"caption {i}" for i in range(40)])
    uri = f"{s3.bucket()}/in.parquet"
    s3.put(uri, (tmp_path / "in.parquet").read_bytes())
    assert embed(uri, tmp_path / "t", model) == {("success", None): 40}
    shutil.rmtree(tmp_path / "t.lance")
    assert embed([uri], tmp_path / "t", model) == {("success", None): 40}


def holds(s3: S3, uri: TableUri, content: bytes) -> bool:
    """Whether any object of a table has these bytes."""
    return any(content in data for data in s3.objects(uri.dataset).values())


def test_a_table_in_a_bucket_is_purged_as_a_local_one(s3: S3, photos: Path, model: Path) -> None:
    uri = tables.parse(f"{s3.bucket()}/db/t")
    embed(photos, str(uri), model)
    assert holds(s3, uri, b"the sea at night")
    assert tables.remove_rows(uri, "source = 'photo0003.jpg'") == 1
    assert holds(s3, uri, b"the sea at night")
    found = tables.plan_purge(uri)
    done = tables.purge(uri, [tag.name for tag in found.tags])
    assert done.bytes > 1000
    assert not holds(s3, uri, b"the sea at night")
    assert verify(VerifyOptions(table=str(uri))).problems == []

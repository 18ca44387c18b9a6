"""Input and tables on a real S3 server, which checks signatures and conditions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from botocore.exceptions import ClientError

from jobs import cli
from pipeline import schema, search, storage, table
from pipeline.errors import StorageError
from pipeline.table import Committer
from tests.embedding import embed
from tests.faulty_proxy import faulty_proxy
from tests.pipeline.test_commit import IDENTITY, some_rows
from tests.rows import Rows, assert_same_rows, rows_of
from tests.s3 import KEY, SECRET, environment
from tests.samples import jpeg, write_parquet
from tests.services.radosgw import Radosgw


def rows_on(gateway: Radosgw, uri: str) -> Rows:
    return rows_of(uri, storage_options={"aws_endpoint": gateway.s3.endpoint, "allow_http": "true"})


def test_the_server_keeps_the_condition_that_commits_need(gateway: Radosgw) -> None:
    uri = gateway.s3.bucket()
    once = {"Bucket": uri.removeprefix("s3://"), "Key": "x", "IfNoneMatch": "*"}
    gateway.s3.call("put_object", **once, Body=b"first")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        gateway.s3.call("put_object", **once, Body=b"second")
    assert gateway.s3.objects(uri) == {"x": b"first"}


def test_input_and_table_on_the_server_give_the_rows_of_local_ones(
    gateway: Radosgw, parquet: str, undisturbed: Rows, model: Path
) -> None:
    bucket = gateway.s3.bucket()
    embed(parquet, f"{bucket}/db/t", model, commit_seconds=0)
    assert_same_rows(rows_on(gateway, f"{bucket}/db/t"), undisturbed)
    assert embed(parquet, f"{bucket}/db/t", model) == {}
    assert len(search.open(f"{bucket}/db/t").by_text("caption 7", k=3)) == 3
    folders = {path.removeprefix("db/t.lance/").partition("/")[0] for path in gateway.s3.objects(f"{bucket}/db")}
    assert folders <= {"data", "_versions", "_transactions"}, "the probe was left"


def test_a_folder_of_more_keys_than_one_page_is_listed_whole(gateway: Radosgw) -> None:
    bucket = gateway.s3.bucket()
    names = [f"in/{number % 7}/{number:04d}.jpg" for number in range(1234)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda name: gateway.s3.put(f"{bucket}/{name}", name.encode()), names))
    assert [f"in/{file.path}" for file in storage.list_files(f"{bucket}/in").files] == sorted(names)
    assert len(storage.list_files(f"{bucket}/in/**/*9.jpg").files) == 123


def test_a_file_that_is_uploaded_in_parts_is_whole(gateway: Radosgw, tmp_path: Path, model: Path) -> None:
    """Lance cuts files of more than 5 MiB."""
    extra = [np.random.default_rng(number).bytes(3 << 20) for number in range(4)]
    write_parquet(tmp_path / "in.parquet", list(map(jpeg, range(4))), list("abcd"), extra=extra)
    uri = f"{gateway.s3.bucket()}/db/t"
    with faulty_proxy(gateway.port) as proxy, environment(proxy.url, gateway.key, gateway.secret):
        embed(tmp_path / "in.parquet", uri, model, keep_cols=["extra"])
        assert [path for method, path in proxy.requests if method == "POST" and "uploads" in path]
    assert [row["extra"] for _, row in sorted(rows_on(gateway, uri).items())] == extra


def test_writers_that_race_land_each_row_once(gateway: Radosgw) -> None:
    """Two stage the same rows, two others; all commit at once, four times."""
    uri = table.parse(f"{gateway.s3.bucket()}/db/t")

    def write(source: str) -> int:
        committer = Committer(uri, schema.table_schema(IDENTITY), table.open_if_exists(uri))
        parts = [table.stage(uri, some_rows(start, start + 5, source)) for start in range(0, 20, 5)]
        return sum(committer.commit([part]).total() for part in parts)

    with ThreadPoolExecutor(4) as threads:
        landed = list(threads.map(write, ["same", "same", "one", "other"]))
    assert sum(landed) == 60
    found = rows_on(gateway, f"{uri.database}/{uri.name}")
    assert found.keys() == {(source, row) for source in ("same", "one", "other") for row in range(20)}


def test_a_dataset_and_its_table_copied_to_another_bucket_go_on_as_the_same(
    gateway: Radosgw, parquet: str, undisturbed: Rows, model: Path
) -> None:
    first, other = gateway.s3.bucket(), gateway.s3.bucket()
    source = parquet.removeprefix("s3://").partition("/")[0]
    embed(f"{parquet}/0[0-5].parquet", f"{first}/db/t", model)
    for bucket, prefix, to in ((source, "in/", "deep/er/"), (first.removeprefix("s3://"), "db/", "moved/")):
        for entry in gateway.s3.call("list_objects_v2", Bucket=bucket, Prefix=prefix)["Contents"]:
            key = to + entry["Key"].removeprefix(prefix)
            copied = {"Bucket": bucket, "Key": entry["Key"]}
            gateway.s3.call("copy_object", Bucket=other.removeprefix("s3://"), Key=key, CopySource=copied)
    assert embed(f"{other}/deep/er", f"{other}/moved/t", model).total() == 120
    assert_same_rows(rows_on(gateway, f"{other}/moved/t"), undisturbed)


@pytest.mark.parametrize(("key", "secret"), [(KEY, SECRET), (None, SECRET)])
def test_wrong_credentials_are_refused_and_not_shown(
    gateway: Radosgw, parquet: str, tmp_path: Path, model: Path, key: str | None, secret: str
) -> None:
    with environment(gateway.s3.endpoint, key or gateway.key, secret):
        for uri, into in ((parquet, tmp_path / "t"), (tmp_path, f"{gateway.s3.bucket()}/db/t")):
            write_parquet(tmp_path / "in.parquet", [jpeg(1)], ["x"])
            with pytest.raises(StorageError, match="mend") as caught:
                embed(uri, into, model)
            assert not [shown for shown in (KEY, SECRET, gateway.key) if shown in str(caught.value)]


def test_commands_on_the_server_say_and_write_no_secret(
    gateway: Radosgw, parquet: str, tmp_path: Path, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bucket = gateway.s3.bucket()
    uri = f"{bucket}/db/t"
    said = ""
    for command in (
        ["embed", "--input", parquet, "--table", uri, "--model", model, "--local"],
        ["score", "--table", uri],
        ["filter", "--table", uri, "--by", "cosine", "--top-fraction", "0.3", "--output", tmp_path / "kept"],
        ["query", "--table", uri, "--text", "caption 7"],
    ):
        assert cli.main([*map(str, command), "--json"]) == 0
        said += "".join(capfd.readouterr())
    assert '"scored": 240' in said
    written = gateway.s3.objects(bucket)
    assert written
    for secret in (gateway.key, gateway.secret):
        assert secret not in said
        assert not [path for path, data in written.items() if secret.encode() in data]

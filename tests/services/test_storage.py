"""Input and tables on real servers, which check signatures and conditions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from jobs import cli
from pipeline import schema, search, storage, table
from pipeline.errors import StorageError
from pipeline.table import Committer
from tests.embedding import embed
from tests.faulty_proxy import faulty_proxy
from tests.pipeline.table.test_commit import IDENTITY, some_rows
from tests.rows import Rows, assert_same_rows
from tests.s3 import KEY, SECRET, environment
from tests.samples import jpeg, write_parquet
from tests.services.radosgw import Radosgw
from tests.services.store import Store, rows_on


def test_the_server_keeps_the_condition_that_commits_need(store: Store) -> None:
    uri = store.bucket()
    assert store.put_if_absent(f"{uri}/x", b"first")
    assert not store.put_if_absent(f"{uri}/x", b"second")
    assert store.objects(uri) == {"x": b"first"}


def test_input_and_table_on_the_server_give_the_rows_of_local_ones(
    store: Store, pairs: str, local: Rows, model: Path
) -> None:
    bucket = store.bucket()
    embed(f"{pairs}/0[0-5].parquet", f"{bucket}/db/t", model)
    embed(pairs, f"{bucket}/db/t", model, commit_seconds=0)
    assert_same_rows(rows_on(store, f"{bucket}/db/t"), local)
    assert embed(pairs, f"{bucket}/db/t", model) == {}
    assert len(search.open(f"{bucket}/db/t").by_text("caption 7", k=3)) == 3
    folders = {path.removeprefix("db/t.lance/").partition("/")[0] for path in store.objects(f"{bucket}/db")}
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
    assert [row["extra"] for _, row in sorted(rows_on(gateway.s3, uri).items())] == extra


def test_writers_that_race_land_each_row_once(store: Store) -> None:
    """Two stage the same rows, two others; all commit at once, four times."""
    uri = table.parse(f"{store.bucket()}/db/t")

    def write(source: str) -> int:
        committer = Committer(uri, schema.table_schema(IDENTITY), table.open_if_exists(uri))
        parts = [table.stage(uri, some_rows(start, start + 5, source)) for start in range(0, 20, 5)]
        return sum(committer.commit([part]).total() for part in parts)

    with ThreadPoolExecutor(4) as threads:
        landed = list(threads.map(write, ["same", "same", "one", "other"]))
    assert sum(landed) == 60
    found = rows_on(store, f"{uri.database}/{uri.name}")
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
    assert_same_rows(rows_on(gateway.s3, f"{other}/moved/t"), undisturbed)


def test_a_wrong_key_is_refused_and_not_shown(store: Store, pairs: str, tmp_path: Path, model: Path) -> None:
    bucket = store.bucket()
    made = f"{bucket}/made/t"
    write_parquet(tmp_path / "in.parquet", [jpeg(1)], ["x"])
    embed(tmp_path, made, model)
    with store.with_wrong_key():
        for refused in (
            lambda: embed(pairs, tmp_path / "t", model),
            lambda: embed(tmp_path, f"{bucket}/db/t", model),
            lambda: table.open_table(table.parse(made)),
        ):
            with pytest.raises(StorageError, match="correct") as caught:
                refused()
            assert not [secret for secret in store.secrets if secret in str(caught.value)]


def test_a_user_whom_the_server_does_not_know_is_refused_and_not_shown(
    gateway: Radosgw, parquet: str, tmp_path: Path, model: Path
) -> None:
    with environment(gateway.s3.endpoint, KEY, SECRET), pytest.raises(StorageError, match="correct") as caught:
        embed(parquet, tmp_path / "t", model)
    assert not [shown for shown in (KEY, SECRET) if shown in str(caught.value)]


def test_commands_on_the_server_say_and_write_no_secret(
    store: Store, pairs: str, tmp_path: Path, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bucket = store.bucket()
    uri = f"{bucket}/db/t"
    said = ""
    for command in (
        ["embed", "--input", pairs, "--table", uri, "--model", model, "--local"],
        ["score", "--table", uri],
        ["filter", "--table", uri, "--by", "cosine", "--top-fraction", "0.3", "--output", tmp_path / "kept"],
        ["query", "--table", uri, "--text", "caption 7"],
    ):
        assert cli.main([*map(str, command), "--json"]) == 0
        said += "".join(capfd.readouterr())
    assert '"scored": 240' in said
    written = store.objects(bucket)
    assert written
    for secret in store.secrets:
        assert secret not in said
        assert not [path for path, data in written.items() if secret.encode() in data]

"""An S3 server that lives in this process (moto: it checks no signatures), and its address in the environment."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import s3fs

from tests.samples import jpeg, write_parquet

KEY, SECRET = "SIGLANETESTKEY0001", "siglane/test+secret/0001"


@dataclass(frozen=True)
class S3:
    """A server, which the environment's variables name while it is used."""

    endpoint: str
    key: str = KEY
    secret: str = SECRET

    @property
    def lance_options(self) -> dict[str, str]:
        """What plain Lance needs to be told beside the environment to reach it."""
        return {"aws_endpoint": self.endpoint, "allow_http": "true"}

    @property
    def secrets(self) -> list[str]:
        return [self.key, self.secret]

    @contextmanager
    def with_wrong_key(self) -> Iterator[None]:
        with environment(self.endpoint, self.key, f"{self.secret}x"):
            yield

    @property
    def port(self) -> int:
        port = urlsplit(self.endpoint).port
        assert port is not None
        return port

    def bucket(self) -> str:
        """Makes a bucket; gives its URI."""
        name = f"bucket-{uuid4().hex[:12]}"
        self.call("create_bucket", Bucket=name)
        return f"s3://{name}"

    def put_folder(self, folder: Path, uri: str) -> str:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                self.put(f"{uri}/{file.relative_to(folder).as_posix()}", file.read_bytes())
        return uri

    def put(self, uri: str, data: bytes) -> None:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        self.call("put_object", Bucket=bucket, Key=key, Body=data)

    def put_if_absent(self, uri: str, data: bytes) -> bool:
        """Whether there was no such object."""
        from botocore.exceptions import ClientError

        bucket, _, key = uri.removeprefix("s3://").partition("/")
        try:
            self.call("put_object", Bucket=bucket, Key=key, Body=data, IfNoneMatch="*")
        except ClientError as error:
            if error.response["Error"]["Code"] == "PreconditionFailed":
                return False
            raise
        return True

    def delete(self, uri: str) -> None:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        self.call("delete_object", Bucket=bucket, Key=key)

    def objects(self, uri: str) -> dict[str, bytes]:
        """Every object below a URI, by its path in the bucket."""
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        listed = self.call("list_objects_v2", Bucket=bucket, Prefix=prefix).get("Contents", [])
        keys = [entry["Key"] for entry in listed]
        return {key: self.call("get_object", Bucket=bucket, Key=key)["Body"].read() for key in keys}

    def call(self, operation: str, **arguments: object) -> dict:
        """Calls the server with boto3, apart from the client that is tested."""
        return getattr(self._client, operation)(**arguments)

    @cached_property
    def _client(self) -> Any:
        import boto3
        from botocore.config import Config

        settings = Config(request_checksum_calculation="when_required", s3={"addressing_style": "path"})
        return boto3.client("s3", endpoint_url=self.endpoint, config=settings)


class Buckets(Protocol):
    """A store of any kind."""

    def bucket(self) -> str: ...

    def put_folder(self, folder: Path, uri: str) -> str: ...


def put_pairs(store: Buckets, folder: Path, files: int, rows: int) -> str:
    """Makes a bucket with so many Parquet files of so many pairs below `in`; gives its URI."""
    for file in range(files):
        numbers = range(file * rows, file * rows + rows)
        write_parquet(folder / f"{file:02d}.parquet", list(map(jpeg, numbers)), [f"caption {n}" for n in numbers])
    bucket = store.bucket()
    store.put_folder(folder, f"{bucket}/in")
    return bucket


@contextmanager
def environment(endpoint: str, key: str = KEY, secret: str = SECRET) -> Iterator[None]:
    """The variables that name a server and its credentials, for this process and those that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "AWS_ENDPOINT"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_ENDPOINT_URL", endpoint)
        patch.setenv("AWS_ACCESS_KEY_ID", key)
        patch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        patch.setenv("AWS_REGION", "us-east-1")
        patch.setenv("NO_PROXY", "127.0.0.1")
        s3fs.S3FileSystem.clear_instance_cache()  # those that are kept know other credentials
        yield
    s3fs.S3FileSystem.clear_instance_cache()


@contextmanager
def moto() -> Iterator[S3]:
    from moto.moto_server.threaded_moto_server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        s3 = S3(f"http://{host}:{port}")
        with environment(s3.endpoint):
            yield s3
    finally:
        server.stop()

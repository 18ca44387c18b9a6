"""Azurite, the emulator of Azure's blob storage, on loopback: one process, which keeps what it holds in memory."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.processes import ROOT, wait_for

PROGRAM = ROOT / ".venv" / "azurite" / "node_modules" / ".bin" / "azurite-blob"
SECONDS_TO_START = 60


@dataclass(frozen=True)
class Azurite:
    """A running server with one account."""

    port: int
    account: str
    key: str

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}/{self.account}"

    @property
    def lance_options(self) -> dict[str, str]:
        named = {"account_name": self.account, "account_key": self.key}
        return {**named, "azure_storage_endpoint": self.endpoint, "allow_http": "true"}

    @property
    def secrets(self) -> list[str]:
        return [self.key]

    def connection_string(self, key: str | None = None) -> str:
        return (
            f"DefaultEndpointsProtocol=http;AccountName={self.account};AccountKey={key or self.key};"
            f"BlobEndpoint={self.endpoint};"
        )

    @contextmanager
    def with_wrong_key(self) -> Iterator[None]:
        with environment(self.connection_string(new_key())):
            yield

    def bucket(self) -> str:
        """Makes a container; gives its URI."""
        name = f"container-{uuid4().hex[:12]}"
        self._client.create_container(name)
        return f"az://{name}"

    def put_folder(self, folder: Path, uri: str) -> str:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                self._blob(f"{uri}/{file.relative_to(folder).as_posix()}").upload_blob(file.read_bytes())
        return uri

    def put_if_absent(self, uri: str, data: bytes) -> bool:
        from azure.core.exceptions import ResourceExistsError

        try:
            self._blob(uri).upload_blob(data, overwrite=False)
        except ResourceExistsError:
            return False
        return True

    def objects(self, uri: str) -> dict[str, bytes]:
        """Every blob below a URI, by its path in the container."""
        container, _, prefix = uri.removeprefix("az://").partition("/")
        client = self._client.get_container_client(container)
        names = list(client.list_blob_names(name_starts_with=prefix))
        return {name: client.download_blob(name).readall() for name in names}

    def delete(self, uri: str) -> None:
        self._blob(uri).delete_blob()

    def _blob(self, uri: str) -> Any:
        container, _, name = uri.removeprefix("az://").partition("/")
        return self._client.get_blob_client(container, name)

    @cached_property
    def _client(self) -> Any:
        from azure.storage.blob import BlobServiceClient

        return BlobServiceClient.from_connection_string(self.connection_string())


def new_key() -> str:
    return base64.b64encode(os.urandom(64)).decode()


@contextmanager
def environment(connection_string: str) -> Iterator[None]:
    """The variable that names an account and its server, for this process and those that it starts."""
    from adlfs import AzureBlobFileSystem

    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AZURE_")]:
            patch.delenv(name)
        patch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection_string)
        patch.setenv("NO_PROXY", "127.0.0.1")
        AzureBlobFileSystem.clear_instance_cache()  # those that are kept know another account
        yield
    AzureBlobFileSystem.clear_instance_cache()


@contextmanager
def azurite(folder: Path) -> Iterator[Azurite]:
    """A server that keeps its log in a folder, and its account in the environment."""
    server = Azurite(_free_port(), "siglane", new_key())
    log = folder / "azurite.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(str(PROGRAM), "--blobHost", "127.0.0.1", "--blobPort", str(server.port)),
                *("--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck", "--silent"),
            ],
            cwd=folder,
            env={**os.environ, "AZURITE_ACCOUNTS": f"{server.account}:{server.key}"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(lambda: _answers(process, server.port, log), "Azurite does not answer", SECONDS_TO_START)
        with environment(server.connection_string()):
            yield server
    finally:
        process.kill()
        process.wait()


def _answers(process: subprocess.Popen[bytes], port: int, log: Path) -> bool:
    assert process.poll() is None, f"Azurite ended with code {process.returncode}: {log.read_text()}"
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        port: int = opened.getsockname()[1]
        return port

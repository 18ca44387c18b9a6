"""What the tests of this folder ask of a server, whichever store it is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from tests.rows import Rows, rows_of


class Store(Protocol):
    """A server that the environment's variables name while it is used. Asked by a client apart from the tested."""

    @property
    def lance_options(self) -> Mapping[str, str]:
        """What plain Lance needs to be told to reach it."""

    @property
    def secrets(self) -> Sequence[str]:
        """What nothing may show."""

    def with_wrong_key(self) -> AbstractContextManager[None]:
        """The environment with a key that the server does not know."""

    def bucket(self) -> str:
        """Makes a bucket; gives its URI."""

    def put_folder(self, folder: Path, uri: str) -> str: ...

    def put_if_absent(self, uri: str, data: bytes) -> bool:
        """Whether there was no such object."""

    def objects(self, uri: str) -> dict[str, bytes]:
        """Every object below a URI, by its path in the bucket."""

    def delete(self, uri: str) -> None: ...


def rows_on(store: Store, uri: str) -> Rows:
    """Every row of a table on the server, read with plain Lance."""
    return rows_of(uri, storage_options=dict(store.lance_options))

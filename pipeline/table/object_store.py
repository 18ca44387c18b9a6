"""Where tables may lie beside local disk, and what Lance says of a store that fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import SiglaneError, TableError
from pipeline.storage.lance_store import first_sentence, is_store_failure, store_failed

PROTOCOLS = ("s3", "gs", "az")


@contextmanager
def store_failures(table: object) -> Iterator[None]:
    """Makes what Lance says of a store that fails, or of a full disk, a `StorageError`."""
    try:
        yield
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) or is_store_failure(error):
            raise store_failed(f"table {table}", error) from error
        raise


def read_failure(table: object, what: str, error: Exception) -> SiglaneError:
    """The error for what Lance says when it cannot read: the store's fault, or that of what was asked."""
    if is_store_failure(error):
        return store_failed(f"table {table}", error)
    return TableError(f"table {table}: {what}: {first_sentence(error)}")

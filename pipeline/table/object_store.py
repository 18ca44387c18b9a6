"""Object stores that may hold tables, and how Lance reports a failing store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import SiglaneError, TableError
from pipeline.storage.lance_store import first_sentence, is_store_failure, store_failed

PROTOCOLS = ("s3", "gs", "az")


@contextmanager
def store_failures(table: object) -> Iterator[None]:
    """Turns Lance's error for a failing store or a full disk into a `StorageError`."""
    try:
        yield
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) or is_store_failure(error):
            raise store_failed(f"table {table}", error) from error
        raise


def read_failure(table: object, what: str, error: Exception) -> SiglaneError:
    """The error for a failed read: a `StorageError` if the store failed, a `TableError` if the request was wrong."""
    if is_store_failure(error):
        return store_failed(f"table {table}", error)
    return TableError(f"table {table}: {what}: {first_sentence(error)}")

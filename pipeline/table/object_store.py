"""Object stores that may hold tables, and how Lance reports a failing store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import SiglaneError, TableError
from pipeline.storage.lance_store import first_sentence, is_store_failure, names_missing_file, store_failed

PROTOCOLS = ("s3", "gs", "az")


@contextmanager
def store_failures(table: object) -> Iterator[None]:
    """Turns Lance's errors into ours: a failing store or a full disk, a missing file, a refusal."""
    try:
        yield
    except (OSError, ValueError) as error:
        if is_store_failure(error):
            raise store_failed(f"table {table}", error) from error
        if names_missing_file(error):
            raise _missing_file(table, error) from error
        if isinstance(error, OSError):
            raise TableError(
                f"table {table}: {first_sentence(error)}; another program may have changed its columns: see "
                f"`siglane verify --table {table}`"
            ) from error
        raise


def _missing_file(table: object, error: Exception) -> TableError:
    path = str(error).partition("Not found:")[2].partition(",")[0].strip()
    if path.endswith("/_versions"):
        return TableError(f"table {table}: it is no longer there: it was deleted or moved; restore it, or name another")
    return TableError(f"table {table}: its file {path} is missing; `siglane verify --table {table}` names all that are")


def read_failure(table: object, what: str, error: Exception) -> SiglaneError:
    """The error for a failed read: a `StorageError` if the store failed, a `TableError` if the request was wrong."""
    if is_store_failure(error):
        return store_failed(f"table {table}", error)
    if names_missing_file(error):
        return _missing_file(table, error)
    return TableError(f"table {table}: {what}: {first_sentence(error)}")

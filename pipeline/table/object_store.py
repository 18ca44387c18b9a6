"""A table's object store as Lance reaches it: from the environment's usual variables, the same that serve the input.

Lance is handed these options anew with every call; they are no part of a `TableUri`, and Lance writes none of them into
the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import SiglaneError, StorageError, TableError
from pipeline.storage.filesystems import s3_endpoint, s3_region
from pipeline.storage.redaction import reason

PROTOCOLS = ("s3", "gs", "az")

# Lance tries again by itself, for about as long as inputs are tried: 10 times, 0.1 s doubling to 15 s.
CLIENT_MAX_RETRIES = 10
CLIENT_RETRY_SECONDS = 120


def storage_options(database: str) -> dict[str, str] | None:
    """Lance's `storage_options` for a database, None for local disk."""
    protocol, mark, _ = database.partition("://")
    if not mark:
        return None
    options = {"client_max_retries": str(CLIENT_MAX_RETRIES), "client_retry_timeout": str(CLIENT_RETRY_SECONDS)}
    endpoint, region = s3_endpoint(), s3_region()
    if protocol != "s3":
        return options
    if endpoint:
        options |= {"aws_endpoint": endpoint, "allow_http": str(endpoint.startswith("http://")).lower()}
    if endpoint or region:  # a server of one's own has no regions, but signatures name one
        options["aws_region"] = region or "us-east-1"
    return options


@contextmanager
def store_failures(table: object) -> Iterator[None]:
    """Makes what Lance says of a store that fails to write, or of a full disk, a `StorageError`."""
    try:
        yield
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) or _is_store_failure(error):
            raise _store_failed(table, error) from error
        raise


def read_failure(table: object, what: str, error: Exception) -> SiglaneError:
    """The error for what Lance says when it cannot read: the store's fault, or that of what was asked."""
    if _is_store_failure(error):
        return _store_failed(table, error)
    return TableError(f"table {table}: {what}: {first_sentence(error)}")


def _store_failed(table: object, error: Exception) -> StorageError:
    return StorageError(
        f"table {table}: its store failed: {first_sentence(error)}; run the same command again when it is well"
    )


def _is_store_failure(error: Exception) -> bool:
    """Lance has no class of its own for it: it may be an OSError, a ValueError or an ArrowInvalid."""
    return "LanceError(IO)" in str(error)


def first_sentence(error: Exception) -> str:
    """What Lance says, on one line, without the places in its source that it adds."""
    return reason(ValueError(str(error).partition(", /")[0]))

"""A store as Lance reaches it: from the environment's usual variables, the same that serve other files.

Lance is handed these options anew with every call; they are no part of an address, and Lance writes none of them into
a dataset. It tries again by itself what may pass, and does not tell how often.
"""

from __future__ import annotations

from pipeline.errors import StorageError
from pipeline.storage import azure
from pipeline.storage.filesystems import s3_endpoint, s3_region
from pipeline.storage.redaction import reason

# For about as long as other files are tried: 10 times, 0.1 s doubling to 15 s.
CLIENT_MAX_RETRIES = 10
CLIENT_RETRY_SECONDS = 120

_NO_ACCOUNT = "no storage account configured"  # of Azure's: there is nothing to ask
_REFUSALS = (
    *("403 Forbidden", "401 Unauthorized", "lacked the necessary privileges", "lacked valid authentication"),
    _NO_ACCOUNT,
)


def storage_options(place: str) -> dict[str, str] | None:
    """Lance's `storage_options` for what lies there, None for local disk."""
    protocol, mark, _ = place.partition("://")
    if not mark or protocol == "file":
        return None
    options = {"client_max_retries": str(CLIENT_MAX_RETRIES), "client_retry_timeout": str(CLIENT_RETRY_SECONDS)}
    if protocol == "az":
        return options | azure.lance_options()
    endpoint, region = s3_endpoint(), s3_region()
    if protocol != "s3":
        return options
    if endpoint:
        options |= {"aws_endpoint": endpoint, "allow_http": str(endpoint.startswith("http://")).lower()}
    if endpoint or region:  # a server of one's own has no regions, but signatures name one
        options["aws_region"] = region or "us-east-1"
    return options


def is_store_failure(error: Exception) -> bool:
    """Lance has no class of its own for it: it may be an OSError, a ValueError or an ArrowInvalid."""
    return "LanceError(IO)" in str(error) or _NO_ACCOUNT in str(error)


def broke_connection(error: Exception) -> bool:
    """Whether a connection broke before an answer came. Lance tries that again, but not what it may write only once."""
    return "error sending request" in str(error)


def store_failed(what: str, error: Exception) -> StorageError:
    """The error that a user sees where the store of `what` failed, also after Lance's retries."""
    if any(refusal in str(error) for refusal in _REFUSALS):
        return StorageError(
            f"{what}: its store refuses these credentials: {first_sentence(error)}; "
            "mend them, then run the same command again"
        )
    return StorageError(
        f"{what}: its store failed: {first_sentence(error)}; run the same command again when it is well"
    )


def first_sentence(error: Exception) -> str:
    """What Lance says, on one line, without the places in its source that it adds."""
    return reason(ValueError(str(error).partition(", /")[0]))

"""How Lance reaches a store: with options from the environment's usual variables, as for other files.

Every call passes these options to Lance. They are not part of an address, and Lance does not write them into a
dataset. Lance retries transient failures itself, and does not report how often.
"""

from __future__ import annotations

from pipeline.errors import StorageError
from pipeline.storage import azure
from pipeline.storage.filesystems import correct_credentials, s3_endpoint, s3_region
from pipeline.storage.redaction import reason

# About as long as reads of other files are retried: 10 times, with delays from 0.1 s doubling to 15 s.
CLIENT_MAX_RETRIES = 10
CLIENT_RETRY_SECONDS = 120

_NO_ACCOUNT = "no storage account configured"  # Azure's message: there is no store to ask
_REFUSALS = (
    *("403 Forbidden", "401 Unauthorized", "lacked the necessary privileges", "lacked valid authentication"),
    _NO_ACCOUNT,
)
_NO_CREDENTIALS = "Failed to get AWS credentials"
_NO_REGION = "Failed to resolve region"


def storage_options(place: str) -> dict[str, str] | None:
    """Lance's `storage_options` for this address; None for local disk."""
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
    if endpoint or region:  # a self-hosted server has no regions, but signatures must name one
        options["aws_region"] = region or "us-east-1"
    return options


def is_store_failure(error: Exception) -> bool:
    """Whether the store caused the error. Lance has no class for it: it raises OSError, ValueError or ArrowInvalid."""
    if isinstance(error, OSError) and error.errno is not None:  # from the operating system, not from Lance
        return True
    return _NO_ACCOUNT in str(error) or ("LanceError(IO)" in str(error) and not names_missing_file(error))


def names_missing_file(error: Exception) -> bool:
    """Whether Lance could not find a file that the table refers to: the store works, the file is missing."""
    return "Not found:" in str(error) and "_versions/" not in str(error)


def broke_connection(error: Exception) -> bool:
    """Whether the connection broke before an answer. Lance retries such requests, except conditional writes."""
    return "error sending request" in str(error)


def store_failed(what: str, error: Exception) -> StorageError:
    """The error for the user when the store of `what`, a table or an input, still failed after Lance's retries."""
    if _NO_CREDENTIALS in str(error):  # what follows in the message is of no use to anybody
        return StorageError(f"{what}: there are no credentials; {correct_credentials(what)}, then run it again")
    if any(refusal in str(error) for refusal in _REFUSALS):
        return StorageError(
            f"{what}: its store refuses these credentials: {first_sentence(error)}; "
            f"{correct_credentials(what)}, then run the same command again"
        )
    if _NO_REGION in str(error):
        return StorageError(
            f"{what}: the region of its bucket is unknown, and S3 does not tell it; check the bucket's name and the "
            "network, and set AWS_REGION (for a server other than AWS, AWS_ENDPOINT_URL)"
        )
    if "os error" in str(error):  # a local disk: full, read-only, beyond a limit
        return StorageError(f"{what}: {first_sentence(error)}; fix this, then run the same command again")
    return StorageError(
        f"{what}: its store failed: {first_sentence(error)}; run the same command again when the store works"
    )


def first_sentence(error: Exception) -> str:
    """Lance's message on one line, without the positions in its source code."""
    return reason(ValueError(str(error).partition(", /")[0].partition(", location: /")[0]))

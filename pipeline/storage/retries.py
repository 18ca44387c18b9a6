"""Classifies the failures of a store. Transient failures are retried a bounded number of times.

Delays double, with jitter. So a thousand readers that a store throttles do not all return at the same moment.
"""

from __future__ import annotations

import errno
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from itertools import count as counting
from typing import TypeVar

from pipeline.errors import InputError, SiglaneError, StorageError
from pipeline.storage.filesystems import correct_credentials
from pipeline.storage.redaction import reason, redact

log = logging.getLogger(__name__)

Result = TypeVar("Result")

TRIES = 9
FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 20.0
"""In total, a store may fail for about a minute before a run gives up."""

TRANSIENT_STATUSES = frozenset([408, 425, 429, 500, 502, 503, 504])
TRANSIENT_ERRNOS = frozenset(
    [errno.EAGAIN, errno.EBUSY, errno.EIO, errno.EPIPE, errno.ETIMEDOUT, errno.ENETUNREACH, errno.EHOSTUNREACH]
)
# Error classes of the stores' libraries are known by name, because an installation has only the libraries it uses.
LIBRARIES = frozenset(
    [
        *("adlfs", "aiobotocore", "aiohttp", "azure", "botocore", "gcsfs", "google", "http", "httpcore", "httpcore2"),
        *("httpx", "httpx2", "huggingface_hub", "requests", "s3fs", "urllib3"),
    ]
)
TRANSIENT_CLASSES = frozenset(
    [
        *("ClientConnectionError", "ClientPayloadError", "ConnectionError", "HTTPClientError", "HTTPError"),
        *("HTTPException", "IncompleteReadError", "RequestException", "ServiceRequestError", "ServiceResponseError"),
        "TransportError",
    ]
)
CUT_SHORT_CLASSES = frozenset(["ClientPayloadError", "IncompleteRead", "IncompleteReadError", "TruncatedError"])
REFUSED_CLASSES = frozenset(
    [
        *("ClientAuthenticationError", "CredentialRetrievalError", "GoogleAuthError", "NoCredentialsError"),
        "PartialCredentialsError",
    ]
)


class Failure(Enum):
    """Why a request to a store failed."""

    ABSENT = "there is no such file"
    CHANGED = "the file has changed"
    REFUSED = "the store refuses these credentials"
    TRANSIENT = "the store failed, and a retry may succeed"
    FINAL = "the store failed"


class AbsentError(InputError):
    """There is no such file. The store itself works."""


class TruncatedError(ConnectionError):
    """A store sent fewer bytes than requested."""


_lock = threading.Lock()
_counted: Counter[str] = Counter()


def take() -> Counter[str]:
    """Retries in this process by cause, since the last call. Each retry is reported once.

    The counts travel with the work that they belong to: from a child process to its worker, and with the photos and the
    staged rows to the driver.
    """
    with _lock:
        taken = Counter(_counted)
        _counted.clear()
    return taken


def add(counts: Mapping[str, int]) -> None:
    """Adds the retries that another process reported."""
    with _lock:
        _counted.update(counts)


def patiently(uri: str, call: Callable[[], Result]) -> Result:
    """Makes the call, and retries it after transient failures of the store.

    Raises:
        AbsentError: the store works, and has no such file.
        InputError: the file has changed.
        StorageError: the store refuses access, or failed `TRIES` times.
    """
    for attempt in counting(1):
        try:
            return call()
        except Exception as error:
            failure = failure_of(error)
            if failure is None:
                raise
            if failure is not Failure.TRANSIENT or attempt == TRIES:
                raise _error_of(uri, failure, error, attempt) from error
            pause(uri, error, attempt)
    raise AssertionError("unreachable: the last attempt raises")


def pause(uri: str, error: BaseException, attempt: int) -> None:
    """Waits after a failed attempt (the first is 1), and counts a retry."""
    delay, shown = delay_after(attempt), redact(uri)
    log.warning("%s: %s; retry in %.1f s (attempt %d of %d)", shown, _why(error, shown), delay, attempt, TRIES)
    add({cause_of(error): 1})
    time.sleep(delay)


def _error_of(uri: str, failure: Failure, error: BaseException, attempts: int) -> SiglaneError:
    """The error that the user sees."""
    shown = redact(uri)
    why = _why(error, shown)
    if failure is Failure.ABSENT:
        return AbsentError(f"{shown}: {_without(reason(error), shown)}; do not change the input until the run ends")
    if failure is Failure.CHANGED:
        return InputError(f"{shown}: the file changed while it was read; do not change the input until the run ends")
    if failure is Failure.REFUSED:
        fix = correct_credentials(shown) if "://" in uri else "correct the permissions"
        return StorageError(f"{shown}: the store refused access: {why}; {fix}, then run the same command again")
    tried = f" ({attempts} attempts)" if attempts > 1 else ""
    return StorageError(f"{shown}: the store failed{tried}: {why}; run the same command again when the store works")


def delay_after(attempt: int) -> float:
    """Seconds to wait after a failed attempt. The first attempt is 1."""
    longest = min(FIRST_DELAY_SECONDS * 2.0 ** (attempt - 1), LONGEST_DELAY_SECONDS)
    return longest * random.uniform(0.5, 1)


def cause_of(error: BaseException) -> str:
    """The kind of a store's failure, in a word or two."""
    causes = list(_causes(error))
    names = {kind.__name__ for cause in causes for kind in type(cause).__mro__}
    if names & CUT_SHORT_CLASSES:  # checked first: aiohttp gives these a status that no server has sent
        return "truncated"
    status = next((status for cause in reversed(causes) if (status := _http_status(cause)) is not None), None)
    if status is not None:
        return f"HTTP {status}"
    return "timeout" if any("Timeout" in name for name in names) else "connection"


def failure_of(error: BaseException) -> Failure | None:
    """The store's failure behind an error; None if no store caused it, e.g. for a bug."""
    if isinstance(error, SiglaneError):
        return None
    # Libraries wrap errors: the innermost error is the store's answer.
    causes = list(_causes(error))
    found = [failure for cause in reversed(causes) if (failure := _failure(cause)) is not None]
    return next((failure for failure in found if failure is not Failure.FINAL), found[0] if found else None)


def _failure(error: BaseException) -> Failure | None:
    names = {kind.__name__ for kind in type(error).__mro__}
    if "FileExpired" in names:
        return Failure.CHANGED
    if isinstance(error, TimeoutError):
        return Failure.TRANSIENT
    status = _http_status(error)
    if status is not None:
        return _failure_of_status(status)
    if isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError) or _names_no_file(error):
        return Failure.ABSENT
    if isinstance(error, PermissionError) or names & REFUSED_CLASSES:
        return Failure.REFUSED
    if isinstance(error, ConnectionError) or names & TRANSIENT_CLASSES:
        return Failure.TRANSIENT
    if isinstance(error, OSError):
        return Failure.TRANSIENT if error.errno in TRANSIENT_ERRNOS else Failure.FINAL
    return Failure.FINAL if type(error).__module__.partition(".")[0] in LIBRARIES else None


def _names_no_file(error: BaseException) -> bool:
    """Whether no file can have the requested name: it is too long, or contains half of a surrogate pair."""
    return isinstance(error, UnicodeEncodeError) or getattr(error, "errno", None) == errno.ENAMETOOLONG


def _failure_of_status(status: int) -> Failure:
    if status in TRANSIENT_STATUSES:
        return Failure.TRANSIENT
    by_status = {401: Failure.REFUSED, 403: Failure.REFUSED, 404: Failure.ABSENT, 410: Failure.ABSENT}
    return {**by_status, 412: Failure.CHANGED}.get(status, Failure.FINAL)


def _http_status(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore
        found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return found if isinstance(found, int) else None
    for holder in (error, response):
        for name in ("status", "status_code", "code"):
            value = getattr(holder, name, None)
            if isinstance(value, int) and 400 <= value < 600:
                return value
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and all errors behind it: its causes, and errors that were being handled when it was raised.

    The latter matter: s3fs, for example, raises another error while it handles a bare timeout.
    """
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _why(error: BaseException, shown: str) -> str:
    """What the error says; where that is only the file's name, what the error behind it says."""
    said = map(reason, _causes(error))
    return next((why for why in said if not shown.endswith(why)), reason(error))


def _without(why: str, shown: str) -> str:
    return "no such file" if shown.endswith(why) or why.endswith(shown) else why

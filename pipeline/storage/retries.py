"""What a store fails with, and what is done about it: what may pass is tried again, a bounded number of times.

Delays double, with jitter, so that a thousand readers of a store that throttles them do not come back at once.
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
from pipeline.storage.redaction import reason, redact

log = logging.getLogger(__name__)

Result = TypeVar("Result")

TRIES = 9
FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 20.0
"""In all a store may be away for about a minute before a run gives up."""

TRANSIENT_STATUSES = frozenset([408, 425, 429, 500, 502, 503, 504])
TRANSIENT_ERRNOS = frozenset(
    [errno.EAGAIN, errno.EBUSY, errno.EIO, errno.EPIPE, errno.ETIMEDOUT, errno.ENETUNREACH, errno.EHOSTUNREACH]
)
# Classes of the stores' libraries go by name: an installation has only those of the stores that it uses.
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
    """Why a store did not do what it was asked to."""

    ABSENT = "there is no such file"
    CHANGED = "the file is another one by now"
    REFUSED = "the store refuses these credentials"
    TRANSIENT = "the store failed, and may not fail again"
    FINAL = "the store failed"


class AbsentError(InputError):
    """There is no such file, and its store is well."""


class TruncatedError(ConnectionError):
    """A store gave fewer bytes than it was asked for."""


_lock = threading.Lock()
_counted: Counter[str] = Counter()


def take() -> Counter[str]:
    """How often something was tried again here, by cause, since this was last asked: each time is told once.

    Counts travel with the work that they were made for: from a child to its worker, with the photos and the staged rows
    to the driver.
    """
    with _lock:
        taken = Counter(_counted)
        _counted.clear()
    return taken


def add(counts: Mapping[str, int]) -> None:
    """Counts what another process has told of."""
    with _lock:
        _counted.update(counts)


def patiently(uri: str, call: Callable[[], Result]) -> Result:
    """Calls, and calls again where the store fails with what may pass.

    Raises:
        AbsentError: the store is well, and has no such file.
        InputError: the file has changed.
        StorageError: the store refuses, or failed `TRIES` times.
    """
    for attempt in counting(1):
        try:
            return call()
        except Exception as error:
            failure = failure_of(error)
            if failure is None:
                raise
            if failure is not Failure.TRANSIENT or attempt == TRIES:
                raise told(uri, failure, error, attempt) from error
            pause(uri, error, attempt)
    raise AssertionError("unreachable: the last attempt raises")


def pause(uri: str, error: BaseException, attempt: int) -> None:
    """Waits after the attempt of this number, from 1, has failed, and counts that there is another."""
    delay = delay_after(attempt)
    log.warning("%s: %s; trying again in %.1f s (%d of %d)", redact(uri), reason(error), delay, attempt, TRIES)
    add({cause_of(error): 1})
    time.sleep(delay)


def told(uri: str, failure: Failure, error: BaseException, attempts: int) -> SiglaneError:
    """The error that a user sees."""
    shown, why = redact(uri), reason(error)
    if failure is Failure.ABSENT:
        return AbsentError(f"{shown}: {_without(why, shown)}; the input must stay as it is until the run ends")
    if failure is Failure.CHANGED:
        return InputError(f"{shown}: changed while it was read; the input must stay as it is until the run ends")
    if failure is Failure.REFUSED:
        return StorageError(f"{shown}: refused: {why}; mend the credentials, then run the same command again")
    tried = f" ({attempts} tries)" if attempts > 1 else ""
    return StorageError(f"{shown}: the store failed{tried}: {why}; run the same command again when it is well")


def delay_after(attempt: int) -> float:
    """Seconds to wait after the attempt of this number, from 1."""
    longest = min(FIRST_DELAY_SECONDS * 2.0 ** (attempt - 1), LONGEST_DELAY_SECONDS)
    return longest * random.uniform(0.5, 1)


def cause_of(error: BaseException) -> str:
    """What a store failed with, in a word or two."""
    causes = list(_causes(error))
    names = {kind.__name__ for cause in causes for kind in type(cause).__mro__}
    if names & CUT_SHORT_CLASSES:  # first: aiohttp gives these a status, which no server has sent
        return "truncated"
    status = next((status for cause in reversed(causes) if (status := _http_status(cause)) is not None), None)
    if status is not None:
        return f"HTTP {status}"
    return "timeout" if any("Timeout" in name for name in names) else "connection"


def failure_of(error: BaseException) -> Failure | None:
    """What an error says of the store; None for an error that is no store's, such as a bug."""
    if isinstance(error, SiglaneError):
        return None
    # Libraries wrap: what lies deepest is what the store said.
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
    """Whether no file can have the name that was asked for: too long a one, or half of a surrogate pair in it."""
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
    """An error, and what it was raised from or in the handling of: s3fs stumbles over a bare timeout, for one."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _without(why: str, shown: str) -> str:
    return "no such file" if shown.endswith(why) or why.endswith(shown) else why

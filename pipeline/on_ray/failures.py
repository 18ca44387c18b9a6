"""Turns failures on a cluster into the errors that a user sees."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ray.exceptions import (
    ObjectStoreFullError,
    OutOfDiskError,
    RayActorError,
    RayError,
    RaySystemError,
    RayTaskError,
)

from pipeline.errors import LostError, SiglaneError
from siglip_core.errors import SiglipError

# By default Ray restarts a task that dies for ever, so a batch that kills its process would block the run. So a task is
# retried twice.
MAX_TRIES_AFTER_DEATH = 2


@contextmanager
def told() -> Iterator[None]:
    """Converts Ray's error about a failed or lost task to one of ours.

    Raises:
        SiglaneError: the error of the task.
        LostError: Ray lost the task.
    """
    try:
        yield
    except RayTaskError as error:
        raise _known_cause(error) from error
    except (ObjectStoreFullError, OutOfDiskError) as error:
        raise no_room() from error
    except RayError as error:
        if cannot := _cannot_load(error):
            raise cannot from error
        what = "an encoder's process died" if isinstance(error, RayActorError) else "Ray lost a part of the run"
        reason = str(error).strip().splitlines()
        raise LostError(f"{what}: {reason[0]} … {reason[-1]}; see Ray's logs") from error


def _known_cause(error: BaseException) -> BaseException:
    """Our error inside Ray's wrapper, or the wrapper itself if the cause is not an error of ours."""
    if isinstance(error, RaySystemError) and (cannot := _cannot_load(error)):
        return cannot
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, SiglaneError | SiglipError) and not isinstance(cause, RayTaskError):
            return type(cause)(str(cause).splitlines()[0])  # Ray adds its own advice below the first line
        if isinstance(cause, ObjectStoreFullError | OutOfDiskError):
            return no_room()
        cause = getattr(cause, "cause", None) or cause.__cause__
    return error


def no_room(node: str = "a node") -> SiglaneError:
    return SiglaneError(
        f"Ray's object store is full on {node}, and so is the disk that it spills to; free space below the node's "
        "/tmp/ray, start nodes with more --object-store-memory, or end other jobs of the cluster; then run the same "
        "command again to continue"
    )


def _cannot_load(error: BaseException) -> SiglaneError | None:
    """The error where a worker cannot unpickle what it got; Ray says that in the text of several errors."""
    reason = re.search(r"System error: (.+)", str(error))
    if reason is None:
        return None
    return SiglaneError(
        f"a worker cannot load its part of the work: {reason[1]}; install the same packages on every node"
    )

"""What fails on a cluster, as the errors that a user sees."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ray.exceptions import RayActorError, RayError, RayTaskError

from pipeline.errors import LostError, SiglaneError
from siglip_core.errors import SiglipError

# Ray starts what dies again for ever by default; a batch that kills its process would then stop the run for good. So a
# task is tried again twice.
MAX_TRIES_AFTER_DEATH = 2


@contextmanager
def told() -> Iterator[None]:
    """Makes what Ray says of a task that failed, or of one that it lost, an error of ours.

    Raises:
        SiglaneError: as raised by the task; LostError where Ray lost it.
    """
    try:
        yield
    except RayTaskError as error:
        raise _known_cause(error) from error
    except RayError as error:
        what = "an encoder's process died" if isinstance(error, RayActorError) else "Ray lost a part of the run"
        reason = str(error).strip().splitlines()
        raise LostError(f"{what}: {reason[0]} … {reason[-1]}; see the logs of Ray") from error


def _known_cause(error: BaseException) -> BaseException:
    """The error of ours below Ray's wrapping, or the wrapping itself where the cause is not one of ours."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, SiglaneError | SiglipError) and not isinstance(cause, RayTaskError):
            return type(cause)(str(cause).splitlines()[0])  # below it, advice of Ray's own
        cause = getattr(cause, "cause", None) or cause.__cause__
    return error

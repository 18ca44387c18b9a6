"""Addresses of Ray clusters: what is there, told within seconds. Ray itself tries for up to three minutes."""

from __future__ import annotations

import logging
import os

import grpc
from ray._private import ray_constants, services
from ray._raylet import GcsClient  # type: ignore[attr-defined]
from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc
from ray.dashboard.modules.job.common import JobInfoStorageClient
from ray.exceptions import AuthenticationError, RaySystemError

from pipeline.errors import SiglaneError, UsageError
from pipeline.on_ray import authentication, liveness
from pipeline.on_ray.submission import submission_id

ANSWERS_WITHIN_SECONDS = 10.0

log = logging.getLogger(__name__)


class IsJobServerError(UsageError):
    """The address is that of a cluster's job server, and not of the cluster itself."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"Ray at {address}: this is the address of a dashboard, for `siglane submit` and `ray job submit`; give "
            "the cluster's own as HOST:6379, or ray://HOST:10001"
        )


def is_url(address: str) -> bool:
    return address.startswith(("http://", "https://"))


def reach(address: str | None) -> None:
    """Makes sure that a cluster answers at the address. None and "local" stand for one that is not started yet.

    Raises:
        IsJobServerError: the address is that of a dashboard.
        UsageError: the address lacks a host or a port.
        SiglaneError: no cluster answers there, or it refuses the token from here.
    """
    if not address or address == "local":
        return
    if is_url(address):
        raise IsJobServerError(address)
    if address == "auto":
        clusters_here()
        return
    place = address.removeprefix("ray://")
    if "/" in place:  # an address of a kind that only Ray knows
        return
    touch(address, *split(address))
    if place == address:
        _ask(address)


def clusters_here() -> set[str]:
    """Addresses of the clusters whose head runs on this machine, at least one.

    Raises:
        SiglaneError: there is none.
    """
    found: set[str] = services.find_gcs_addresses()
    if not found:
        raise SiglaneError(
            "Ray at auto: no cluster runs on this machine; start one with `ray start --head`, or leave out "
            "--address and RAY_ADDRESS to start one for this run"
        )
    return found


def of_this_job(address: str) -> str:
    """The address of the cluster that runs this process as a submitted job; for another process, the one that is given.

    Ray gives a job the address of the cluster that was last started on the machine, in RAY_ADDRESS. That is another
    cluster than the job's own, if one was started there later; then this corrects RAY_ADDRESS.
    """
    submission = submission_id()
    if submission is None or address == "local" or (address != "auto" and _has_job(address, submission)):
        return address
    own = next((place for place in sorted(clusters_here()) if _has_job(place, submission)), None)
    if own is None:  # its record cannot be read from here
        return address
    log.info("this job runs on the cluster at %s, not on the one at %s, which Ray names", own, address)
    os.environ["RAY_ADDRESS"] = own
    return own


def _has_job(address: str, submission: str) -> bool:
    """Whether the cluster at the address answers, and has a job of that id."""
    try:
        reach(address)
        key = JobInfoStorageClient.JOB_DATA_KEY.format(job_id=submission).encode()
        found = GcsClient(address=address).internal_kv_get(
            key, ray_constants.KV_NAMESPACE_JOB, timeout=ANSWERS_WITHIN_SECONDS
        )
    except (SiglaneError, RaySystemError, AuthenticationError):
        return False
    return found is not None


def split(address: str) -> tuple[str, int]:
    """Host and port.

    Raises:
        UsageError: one is missing.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdigit()):
        raise UsageError(
            f"Ray at {address}: not a host with a port; give the cluster's address as HOST:6379, or ray://HOST:10001"
        )
    return host, int(port)


def touch(address: str, host: str, port: int) -> None:
    """Connects and closes.

    Raises:
        SiglaneError: nothing listens there.
    """
    try:
        liveness.touch(host, port)
    except (OSError, ValueError) as error:  # an invalid host name is a UnicodeError
        raise no_cluster(address, error) from error


def no_cluster(address: str | None, error: Exception) -> SiglaneError:
    return SiglaneError(
        f"Ray at {address or 'this machine'}: {str(error).splitlines()[0]}; check --address and RAY_ADDRESS"
    )


def _ask(address: str) -> None:
    """Asks the head whether it is alive, with the token from here."""
    with grpc.insecure_channel(address) as channel:
        head = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel)
        metadata = list(authentication.headers().items())
        try:
            head.CheckAlive(gcs_service_pb2.CheckAliveRequest(), timeout=ANSWERS_WITHIN_SECONDS, metadata=metadata)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                raise authentication.refused(address) from error
            if "http1.x" in error.details():
                raise IsJobServerError(address) from error
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise SiglaneError(
                    f"Ray at {address}: what listens there is not the head of a cluster ({error.code().name}); check "
                    "--address and RAY_ADDRESS"
                ) from error
            # a head that does not know the question; Ray tells more when it connects

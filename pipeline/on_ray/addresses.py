"""Addresses of Ray clusters: what is there, told within seconds. Ray itself tries for up to three minutes."""

from __future__ import annotations

import grpc
from ray._private import services
from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc

from pipeline.errors import SiglaneError, UsageError
from pipeline.on_ray import authentication, liveness

ANSWERS_WITHIN_SECONDS = 10.0


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

"""Reaching a Ray cluster, or starting one on this machine for the length of a run."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import ray

from pipeline.errors import SiglaneError, UsageError
from pipeline.on_ray.options import RayOptions

CPUS_PER_ENCODER = 2
REACHED_WITHIN_SECONDS = 10
PUT_BACK_EVERY_SECONDS = 0.02


@dataclass(frozen=True)
class Encoders:
    """How many processes hold the model, and what each of them is given."""

    count: int
    device: str
    num_cpus: float
    num_gpus: float


@contextmanager
def connect_encoders(options: RayOptions) -> Iterator[Encoders]:
    """As `connect`, and says what processes hold the model.

    Raises:
        UsageError: the cluster has fewer GPUs than asked for.
        SiglaneError: no cluster answers at the address.
    """
    with connect(options.address):
        yield _place_encoders(options)


@contextmanager
def connect(address: str | None) -> Iterator[None]:
    """Connects for the length of the block, None: to RAY_ADDRESS; a cluster started here is stopped at its end.

    Raises:
        SiglaneError: no cluster answers at the address, or this process is connected already.
    """
    if ray.is_initialized():
        raise SiglaneError("Ray: this process is connected already; call ray.shutdown() first")
    address = address or os.environ.get("RAY_ADDRESS")
    # One thread for both: Ray's processes end with the thread that has started them.
    with ThreadPoolExecutor(1, thread_name_prefix="ray") as beside:
        try:
            _reach(address)
            _with_signals_held(beside, lambda: _init(address))
            yield
        finally:
            _with_signals_held(beside, ray.shutdown)


def _reach(address: str | None) -> None:
    """Fails within seconds where nothing listens at a `host:port`; Ray itself tries for more than three minutes."""
    host, _, port = (address or "").rpartition(":")
    if host and port.isdigit() and "/" not in host:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=REACHED_WITHIN_SECONDS).close()
        except (OSError, ValueError) as error:  # a name that is none is a UnicodeError
            raise _no_cluster(address, error) from error


def _init(address: str | None) -> None:
    # It is meant to run beside the main thread (`_with_signals_held`), of which Ray warns.
    logging.getLogger("ray._private.worker").addFilter(_is_of_use)
    try:
        with warnings.catch_warnings():
            # Ray starts its processes by fork and exec; what lance warns of is a fork that goes on without exec.
            warnings.filterwarnings("ignore", message="lance is not fork-safe")
            ray.init(
                address or "local",
                include_dashboard=None if address else False,
                logging_level=logging.WARNING,
            )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _no_cluster(address, error) from error


def _is_of_use(record: logging.LogRecord) -> bool:
    return "SIGTERM handler is not set" not in record.getMessage()


def _no_cluster(address: str | None, error: Exception) -> SiglaneError:
    return SiglaneError(
        f"Ray at {address or 'this machine'}: {str(error).splitlines()[0]}; check --address and RAY_ADDRESS"
    )


def _with_signals_held(beside: ThreadPoolExecutor, call: Callable[[], None]) -> None:
    """Runs what connects or disconnects in the thread given; what signals arrive meanwhile are heard after it.

    Ray replaces handlers of signals in both. Those in Python, which end the process before what is finished can be
    committed, it puts in place in the main thread alone. The one in C++ comes with the connection and leaves none at
    all when it goes: a SIGTERM while Ray stops its cluster would end the process unheard. So ours is put back again and
    again. And a process that is stopped when half connected crashes as it ends: a signal waits until Ray is done.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    arrived = list[int]()

    def hear(number: int, _frame: FrameType | None) -> None:
        arrived.append(number)
        signal.alarm(0)  # the handler in C++ sets it before it calls ours: it aborts the process in three seconds

    done = None
    try:
        while done is None or not done.done():
            for number in before:
                signal.signal(number, hear)
            done = done or beside.submit(call)
            wait([done], timeout=PUT_BACK_EVERY_SECONDS)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for heard in arrived:
        signal.raise_signal(heard)
    done.result()


def job() -> str:
    """What this run is called in Ray: the submission that `ray job` knows, or the number of the job."""
    config = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}"))  # Ray sets it for what is submitted
    submission = config.get("metadata", {}).get("job_submission_id")
    return str(submission or ray.get_runtime_context().get_job_id())


def _place_encoders(options: RayOptions) -> Encoders:
    resources = ray.cluster_resources()
    gpus, cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 0))
    wanted = gpus if options.num_gpus is None else options.num_gpus
    if wanted > gpus:
        raise UsageError(f"num_gpus {wanted}: the cluster has {gpus}; give --num-gpus {gpus} or fewer (0: CPUs)")
    if wanted:
        return Encoders(wanted, "cuda", num_cpus=1, num_gpus=1)
    # An encoder reserves a quarter of the CPUs it computes on. Actors on every CPU would starve the readers; and where
    # nodes are lost Ray starts their encoders on the others, which must have room for readers even then.
    return Encoders(max(1, cpus // CPUS_PER_ENCODER), "cpu", num_cpus=CPUS_PER_ENCODER / 4, num_gpus=0)

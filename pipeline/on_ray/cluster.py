"""Connects to a Ray cluster, or starts one on this machine for one run."""

from __future__ import annotations

import logging
import os
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from types import FrameType

import ray

from pipeline.errors import SiglaneError, UsageError
from pipeline.on_ray import addresses, authentication, liveness, spilling
from pipeline.on_ray.options import RayOptions
from pipeline.on_ray.submission import submission_id
from pipeline.wording import counted, noun

CPUS_PER_ENCODER = 2
CPUS_PER_READER = 1
CPUS_PER_WRITER = 0.25
"""little, as it mostly waits for the table's store"""
PUT_BACK_EVERY_SECONDS = 0.02
IDLE_WORKER_MS = 3_600_000
"""how long a cluster of one run keeps a worker that waits. By itself Ray ends one after a second where it has more than
CPUs; the next task then starts another, with its libraries and its child, for some seconds of CPU."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Encoders:
    """The number of processes that load the model, and the resources of each."""

    count: int
    device: str
    num_cpus: float
    num_gpus: float


@contextmanager
def connect_encoders(options: RayOptions) -> Iterator[Encoders]:
    """As `connect`, and gives the processes that load the model.

    Raises:
        UsageError: the cluster has fewer GPUs than `num_gpus`.
        SiglaneError: no cluster answers at the address.
    """
    with connect(options.address):
        yield _place_encoders(options)


@contextmanager
def connect(address: str | None) -> Iterator[None]:
    """Connects until the block ends. A cluster that was started here is then stopped.

    If `address` is None, RAY_ADDRESS is used; without that, a cluster is started on this machine.

    Raises:
        UsageError: the address is not one of a cluster.
        SiglaneError: no cluster answers at the address, or this process is already connected.
    """
    if ray.is_initialized():
        raise SiglaneError("Ray: this process is already connected; call ray.shutdown() first")
    named = os.environ.get("RAY_ADDRESS")
    if named and address in (None, "auto"):
        address = addresses.of_this_job(named)
    # The same thread connects and disconnects, because Ray's processes end with the thread that started them.
    with ThreadPoolExecutor(1, thread_name_prefix="ray") as beside:
        try:
            addresses.reach(address)
            spilling.watch()
            _with_signals_held(beside, lambda: _init(address))
            is_on_a_node = ray.is_initialized() and not str(address).startswith("ray://")
            with liveness.watched() if is_on_a_node else nullcontext():
                yield
        finally:
            _with_signals_held(beside, ray.shutdown)


def _init(address: str | None) -> None:
    # Ray warns because this does not run in the main thread, which is intended (`_with_signals_held`).
    logging.getLogger("ray._private.worker").addFilter(_is_of_use)
    # It says that a new cluster has a token, which needs no action.
    logging.getLogger("ray._private.authentication.authentication_token_setup").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # lance warns about a fork without exec, but Ray starts its processes by fork and exec.
            warnings.filterwarnings("ignore", message="lance is not fork-safe")
            ray.init(
                address or "local",
                include_dashboard=None if address else False,
                logging_level=logging.WARNING,
                _system_config=None if address else {"idle_worker_killing_time_threshold_ms": IDLE_WORKER_MS},
            )
    except PermissionError as error:
        raise SiglaneError(
            f"Ray cannot write {error.filename}: set HOME to a folder that can be written, or RAY_AUTH_MODE=disabled "
            "where the cluster needs no token"
        ) from error
    except ray.exceptions.AuthenticationError as error:
        raise authentication.refused(address or "this machine") from error
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _no_connection(address, error) from error
    except Exception as error:
        if type(error) is not Exception:  # Ray's own, where a node does not start in time
            raise
        raise SiglaneError(
            f"Ray did not start: {str(error).splitlines()[0]}; run the same command again when this machine is less "
            "busy, or give --local"
        ) from error


def _is_of_use(record: logging.LogRecord) -> bool:
    return "SIGTERM handler is not set" not in record.getMessage()


def _no_connection(address: str | None, error: Exception) -> SiglaneError:
    """The error where a cluster answers at the address, as `addresses.reach` has seen, and Ray does not connect."""
    if address is None:
        return addresses.no_cluster(address, error)
    return SiglaneError(
        f"Ray at {address}: {str(error).splitlines()[0]}, though the address answers; check --address, RAY_ADDRESS and "
        "the cluster's version of Ray"
    )


def _with_signals_held(beside: ThreadPoolExecutor, call: Callable[[], None]) -> None:
    """Runs `call`, which connects or disconnects, in the given thread. Raises signals that arrive meanwhile after it.

    Ray installs signal handlers in two places. Its Python handlers would end the process before finished work is
    committed; Ray installs them only if called from the main thread, so `call` runs in another one. Its C++ handler
    comes with the connection, and when Ray disconnects no handler is left: a SIGTERM while Ray stops its cluster would
    end the process at once. So our handlers are installed again and again. A signal also has to wait until Ray is done,
    because a process that stops while it is half connected crashes.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    arrived = list[int]()

    def hear(number: int, _frame: FrameType | None) -> None:
        arrived.append(number)
        # Before it calls this function, the C++ handler sets an alarm that would abort the process after three seconds.
        signal.alarm(0)

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
    """The name of this run in Ray: the submission id that `ray job` shows, or else the job's number."""
    return submission_id() or str(ray.get_runtime_context().get_job_id())


def _place_encoders(options: RayOptions) -> Encoders:
    resources = ray.cluster_resources()
    gpus, cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 0))
    wanted = gpus if options.num_gpus is None else options.num_gpus
    if not options.wait_for_nodes:
        _require(wanted, gpus, cpus)
    if options.encoders_per_gpu > 1 and not wanted:
        raise UsageError(f"encoders_per_gpu {options.encoders_per_gpu}: the cluster has no GPUs; leave it out")
    if wanted > gpus:
        log.info(
            "the cluster has %d of %s; the run begins with the first, and others join", gpus, counted(wanted, "GPU")
        )
    if wanted:
        # Ray places actors before tasks: encoders that reserved the last CPU would leave the readers none for ever.
        # Nodes that are still to come may have GPUs and no CPUs.
        on_each = options.encoders_per_gpu
        count = wanted * on_each
        leaves_room = wanted <= gpus and cpus - count >= CPUS_PER_READER and _gpu_nodes_have_cpus_for(on_each)
        return Encoders(count, "cuda", num_cpus=1 if leaves_room else 0, num_gpus=1 / on_each)
    # An encoder reserves a quarter of the CPUs it computes on. Actors on every CPU would starve the readers. And if
    # nodes are lost, Ray starts their encoders on the others, which must have room for readers even then. Where all
    # nodes are still to come, an encoder that reserved nothing would run on a head that has no CPU for it.
    smallest = _cpus_of_smallest_node()
    reserved = CPUS_PER_ENCODER / 4 if smallest is None or smallest >= CPUS_PER_READER + 1 else 0
    return Encoders(max(1, cpus // CPUS_PER_ENCODER), "cpu", num_cpus=reserved, num_gpus=0)


def _require(wanted: int, gpus: int, cpus: int) -> None:
    """
    Raises:
        UsageError: the cluster has fewer GPUs than are wanted, or no CPU.
    """
    wait = "--wait-for-nodes if an autoscaler adds them"
    if wanted > gpus:
        advice = f"give --num-gpus {gpus} or fewer" if gpus else "give --num-gpus 0 to encode on CPUs"
        raise UsageError(f"num_gpus {wanted}: the cluster has {gpus or 'no'} {noun(gpus, 'GPU')}; {advice}, or {wait}")
    if cpus < CPUS_PER_READER:
        raise UsageError(
            "the cluster has no CPU for tasks that read and write; add a node with CPUs, start the head with "
            f"`ray start --head --num-cpus N`, or give {wait}"
        )


def _nodes() -> list[Mapping[str, float]]:
    """The resources of each node."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _gpu_nodes_have_cpus_for(encoders_per_gpu: int) -> bool:
    """Whether they have a CPU for each of so many encoders on each of their GPUs."""
    return all(node.get("CPU", 0) >= node["GPU"] * encoders_per_gpu for node in _nodes() if node.get("GPU"))


def _cpus_of_smallest_node() -> float | None:
    """Of the nodes that have CPUs for tasks at all; None if there is none."""
    return min((count for node in _nodes() if (count := node.get("CPU", 0))), default=None)

"""Reaching a Ray cluster, or starting one on this machine for the length of a run."""

from __future__ import annotations

import json
import logging
import os
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import ray

from pipeline.errors import SiglaneError, UsageError
from pipeline.on_ray.options import RayOptions

CPUS_PER_ENCODER = 2


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
        SiglaneError: no cluster answers at the address.
    """
    address = address or os.environ.get("RAY_ADDRESS")
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        with warnings.catch_warnings():
            # Ray starts its processes by fork and exec; what lance warns of is a fork that goes on without exec.
            warnings.filterwarnings("ignore", message="lance is not fork-safe")
            ray.init(
                address or "local",
                include_dashboard=None if address else False,
                logging_level=logging.WARNING,
            )
        # Ray puts handlers of its own in place, which end the process before what is finished can be committed.
        signal.signal(signal.SIGTERM, on_sigterm)
    except SystemExit as error:  # by one of those, while it connects
        signal.alarm(0)  # another of those has set it: it aborts the process three seconds later
        raise KeyboardInterrupt from error
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise SiglaneError(
            f"Ray at {address or 'this machine'}: {str(error).splitlines()[0]}; check --address and RAY_ADDRESS"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


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

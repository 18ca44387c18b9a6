"""What a run would take: from the costs that a trial has measured, for this machine and for others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.embedding.machines import Machine
from pipeline.embedding.reports import EMBED, READ, WRITE
from pipeline.embedding.trial import Trial
from pipeline.errors import UsageError
from siglip_core import Spec

Bound = Literal["input", "encoders"]

SHARE_OF_PEAK = 0.4
"""share of a GPU's stated teraflops that encoders are assumed to reach"""
MOSTLY_WAITED = 0.5
"""the share of reading from which on the source may be what limits a run, whatever the CPUs; chosen, not measured"""
INDEX_BITS_A_NUMBER, INDEX_BYTES_A_ROW = 5, 24
"""of an IVF_RQ index as `siglane index` builds it: 504 bytes a row were measured for vectors of 768 numbers"""


@dataclass(frozen=True)
class Forecast:
    """What a run takes on some machines."""

    machine: str
    rows_per_second: float
    bound_by: Bound
    """what the rest waits for"""
    is_measured: bool
    """whether this is the machine of the trial. The CPUs of others are taken to be as fast, their GPUs to reach a share
    of the stated teraflops."""
    hours: float | None
    """None where the number of rows is not known"""
    cost: float | None
    """in the unit of the prices; None without a price"""


def here(trial: Trial, rows: int | None) -> Forecast:
    """On the machine of the trial, whose stages then work at the same time."""
    if trial.device == "cpu":
        rate, bound = _on_shared_cpus(trial, trial.cpus)
    else:
        rate, bound = _slower(_rate_of_tasks(trial, trial.cpus), 1 / trial.seconds[EMBED])
    return Forecast("this machine", rate, bound, True, _hours(rows, rate), None)


def waits_for_source(trial: Trial) -> bool:
    """Whether reading mostly waited for the source. A forecast then promises no faster reading than that of the trial,
    because a store that limits its requests answers more readers no faster."""
    return trial.share_waited >= MOSTLY_WAITED


def on(machine: Machine, trial: Trial, spec: Spec, rows: int | None) -> Forecast:
    """On other machines, whose CPUs are assumed to be as fast as those of the trial.

    Raises:
        UsageError: the machine has no GPU, and the trial had one.
    """
    cpus = machine.cpus * machine.count
    if machine.gpus:
        assert machine.gpu_teraflops is not None
        teraflops = machine.count * machine.gpus * machine.gpu_teraflops * SHARE_OF_PEAK
        encoders = teraflops * 1e3 / (spec.vision.gflops + spec.text.gflops)
        rate, bound = _slower(_rate_of_tasks(trial, cpus), encoders)
    elif trial.device == "cpu":
        rate, bound = _on_shared_cpus(trial, cpus)
    else:
        raise UsageError(
            f"--machines: {machine.name} has no GPU, but the encoders were measured on the GPU of this machine; hide "
            "it with CUDA_VISIBLE_DEVICES= to measure its CPUs"
        )
    name = machine.name if machine.count == 1 else f"{machine.count} x {machine.name}"
    hours = _hours(rows, rate)
    cost = None if hours is None else hours * machine.price_per_hour * machine.count
    return Forecast(name, rate, bound, False, hours, cost)


def _rate_of_tasks(trial: Trial, cpus: int) -> float:
    """Rows/s of reading and writing with CPUs of their own."""
    return min(cpus / _seconds_of_tasks(trial), _most_of_source(trial))


def _most_of_source(trial: Trial) -> float:
    """Rows/s that the source is known to give."""
    return 1 / trial.seconds[READ] if waits_for_source(trial) else math.inf


def _seconds_of_tasks(trial: Trial) -> float:
    """Seconds a row in which a CPU is taken, without the encoder's. A reader that waits a little keeps its CPU."""
    reading = trial.seconds[READ] - (trial.waited if waits_for_source(trial) else 0.0)
    return reading + trial.seconds[WRITE]


def _on_shared_cpus(trial: Trial, cpus: int) -> tuple[float, Bound]:
    """The encoders and the tasks that feed them share the CPUs."""
    tasks, encoder = _seconds_of_tasks(trial), trial.seconds[EMBED] * trial.cpus
    rate, source = cpus / (tasks + encoder), _most_of_source(trial)
    return (source, "input") if source < rate else (rate, "encoders" if encoder >= tasks else "input")


def _slower(tasks: float, encoders: float) -> tuple[float, Bound]:
    """Of stages that work side by side, the slower one sets the rate."""
    return (tasks, "input") if tasks < encoders else (encoders, "encoders")


def _hours(rows: int | None, rate: float) -> float | None:
    return None if rows is None else rows / rate / 3600


def index_bytes_per_row(spec: Spec, columns: Sequence[str]) -> int:
    """Of the indexes that `siglane index` builds of these columns of vectors, where a table is large enough."""
    return len(columns) * (spec.embedding_dim * INDEX_BITS_A_NUMBER // 8 + INDEX_BYTES_A_ROW)

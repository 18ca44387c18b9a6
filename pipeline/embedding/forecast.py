"""What a run would take: from the costs that a trial has measured, for this machine and for others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pipeline.embedding.reports import EMBED, READ, WRITE
from pipeline.embedding.trial import Trial
from pipeline.errors import UsageError
from siglip_core import Spec

Bound = Literal["input", "encoders"]

SHARE_OF_PEAK = 0.4
"""share of a GPU's stated teraflops that encoders are assumed to reach"""
INDEX_BITS_A_NUMBER, INDEX_BYTES_A_ROW = 5, 24
"""of an IVF_RQ index as `siglane index` builds it: 504 bytes a row were measured for vectors of 768 numbers"""


class Machine(BaseModel):
    """A kind of machine that someone could rent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    price_per_hour: float = Field(ge=0, allow_inf_nan=False)
    """of one machine"""
    cpus: int = Field(ge=1)
    gpus: int = Field(0, ge=0)
    gpu_teraflops: float | None = Field(None, gt=0, allow_inf_nan=False)
    """of one GPU: dense bfloat16, as its maker states"""
    count: int = Field(1, ge=1)
    """how many of these machines work together"""


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


def read_machines(file: str) -> list[Machine]:
    """Machines from a YAML file: a list of mappings with the fields of `Machine`.

    Raises:
        UsageError: the file cannot be read, or does not hold such a list.
    """
    try:
        found = yaml.safe_load(Path(file).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"--machines {file}: {str(error).splitlines()[0]}; give a YAML file") from error
    try:
        machines = TypeAdapter(list[Machine]).validate_python(found)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise UsageError(
            f"--machines {file}: {place}: {first['msg']}; give a list of machines, each with "
            f"{', '.join(Machine.model_fields)}"
        ) from error
    if not machines:
        raise UsageError(f"--machines {file}: it has no machine; name one, or leave the option out")
    for machine in machines:
        if machine.gpus and machine.gpu_teraflops is None:
            raise UsageError(
                f"--machines {file}: {machine.name}: has GPUs, but no gpu_teraflops; give the dense bfloat16 teraflops "
                "of one GPU, as its maker states them"
            )
    return machines


def here(trial: Trial, rows: int | None) -> Forecast:
    """On the machine of the trial, whose stages then work at the same time."""
    if trial.device == "cpu":
        rate, bound = _on_shared_cpus(trial, trial.cpus)
    else:
        rate, bound = _slower(trial.cpus / _seconds_of_tasks(trial), 1 / trial.seconds[EMBED])
    return Forecast("this machine", rate, bound, True, _hours(rows, rate), None)


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
        rate, bound = _slower(cpus / _seconds_of_tasks(trial), encoders)
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


def _seconds_of_tasks(trial: Trial) -> float:
    """CPU seconds a row, without the encoder's."""
    return trial.seconds[READ] + trial.seconds[WRITE]


def _on_shared_cpus(trial: Trial, cpus: int) -> tuple[float, Bound]:
    """The encoders and the tasks that feed them share the CPUs."""
    tasks, encoder = _seconds_of_tasks(trial), trial.seconds[EMBED] * trial.cpus
    return cpus / (tasks + encoder), "encoders" if encoder >= tasks else "input"


def _slower(tasks: float, encoders: float) -> tuple[float, Bound]:
    """Of stages that work side by side, the slower one sets the rate."""
    return (tasks, "input") if tasks < encoders else (encoders, "encoders")


def _hours(rows: int | None, rate: float) -> float | None:
    return None if rows is None else rows / rate / 3600


def index_bytes_per_row(spec: Spec, columns: Sequence[str]) -> int:
    """Of the indexes that `siglane index` builds of these columns of vectors, where a table is large enough."""
    return len(columns) * (spec.embedding_dim * INDEX_BITS_A_NUMBER // 8 + INDEX_BYTES_A_ROW)

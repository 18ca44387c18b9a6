"""The file of machines that someone could rent: a YAML list."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pipeline.errors import UsageError


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


_KNOWN = ", ".join(Machine.model_fields)
_REQUIRED = ", ".join(name for name, field in Machine.model_fields.items() if field.is_required())
_KEYS = f"known keys: {_KNOWN}; required: {_REQUIRED}"


def read_machines(file: str) -> list[Machine]:
    """Machines from a YAML file: a list of mappings with the fields of `Machine`.

    Raises:
        UsageError: the file cannot be read, or does not hold such a list.
    """
    try:
        found = yaml.safe_load(Path(file).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"--machines {file}: {' '.join(str(error).split())}; give a YAML file") from error
    try:
        machines = TypeAdapter(list[Machine]).validate_python(found)
    except ValidationError as error:
        raise UsageError(f"--machines {file}: {'; '.join(_complaints(error, found))}; {_KEYS}") from error
    if not machines:
        raise UsageError(f"--machines {file}: it has no machine; name one, or leave the option out")
    for number, machine in enumerate(machines):
        if machine.gpus and machine.gpu_teraflops is None:
            raise UsageError(
                f"--machines {file}: {_place(number, found)}: has GPUs, but no gpu_teraflops; give the dense bfloat16 "
                "teraflops of one GPU, as its maker states them"
            )
    return machines


def _complaints(error: ValidationError, found: Any) -> Iterator[str]:
    for item in error.errors():
        number, key = (*item["loc"], None, None)[:2]
        if not isinstance(number, int):
            yield f"needs a list of machines, not {found!r}"
        elif key is None:
            yield f"{_place(number, found)}: needs keys with values, not {item['input']!r}"
        elif item["type"] == "missing":
            yield f"{_place(number, found)}: {key} is missing"
        elif item["type"] == "extra_forbidden":
            yield f"{_place(number, found)}: unknown key {key!r}"
        else:
            yield f"{_place(number, found)}: {key}: {item['msg']}, not {item['input']!r}"


def _place(number: int, found: Any) -> str:
    """Which machine it is, counted from 1, with its name where it has one."""
    name = found[number].get("name") if isinstance(found[number], dict) else None
    return f"machine {number + 1}" + (f" ({name})" if name else "")

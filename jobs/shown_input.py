"""Checks of commands that read the images of a table's input to show them: the input is optional there."""

from __future__ import annotations

from jobs import options
from pipeline.sources import InputOptions


def describing(given: InputOptions) -> str:
    """The flags that describe `--input` and were given, with commas between; empty if there are none."""
    fields = InputOptions.model_fields
    names = [name for name in fields if name != "input" and getattr(given, name) != fields[name].default]
    return ", ".join(map(options.flag, names))


def require_use(given: InputOptions) -> None:
    """Raises ValueError if flags describe an input that was not given."""
    if not given.input and (flags := describing(given)):
        raise ValueError(f"{flags} describe --input: give --input too, or leave {flags} out")

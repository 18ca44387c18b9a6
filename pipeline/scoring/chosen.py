"""Finds the signals that a user names: built-in ones, those of installed packages, and those in files of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from typing import Any

import pyarrow as pa

from pipeline import schema
from pipeline.errors import UsageError
from pipeline.scoring import signal_files
from pipeline.scoring.signal_errors import told
from pipeline.scoring.signals import Signal, signals

GROUP = "siglane.signals"
"""the group of entry points under which a package offers signals"""

_PARTS = {
    "FIELDS": "a dict of column names and Arrow types",
    "READ": "a tuple of the columns that it is computed from",
    "NEEDS_TARGET": "False, or True if it compares with the images of --target",
    "prepare": "a function of a Context that returns a function of a RecordBatch",
}


@dataclass(frozen=True)
class Chosen:
    """A signal, and what is recorded about it."""

    name: str
    """as messages call it"""
    signal: Signal
    version: str | None
    """of the code, or of the library that a built-in signal needs; None for another built-in signal"""
    file: str | None = None
    """the file of a signal that is not built in; messages name lines of it"""

    @property
    def columns(self) -> list[str]:
        return list(self.signal.FIELDS)

    @property
    def is_built_in(self) -> bool:
        return self.file is None

    @property
    def work(self) -> str:
        """What a run that fills it does. Two runs that fill the same columns do the same."""
        return f"score {self.name if self.is_built_in else self.columns[0]}"


def choose(names: Sequence[str], has_target: bool) -> list[Chosen]:
    """The signals of these names: built-in, of an installed package, FILE.py or FILE.py:NAME.

    Raises:
        UsageError: a signal is unknown, cannot be loaded or does not keep the contract; two of them fill one column; or
            a target is given and not needed, or needed and not given.
    """
    found = [find(name) for name in names]
    _require_own_columns(found)
    needing = [name for name, chosen in zip(names, found, strict=True) if chosen.signal.NEEDS_TARGET]
    if needing and not has_target:
        raise UsageError(f"--signal {needing[0]} compares with another table's images: give --target TABLE")
    if has_target and not needing:
        those = ", ".join(name for name, signal in signals().items() if signal.NEEDS_TARGET)
        raise UsageError(f"--target is only for --signal {those}: leave it out")
    return found


def find(name: str) -> Chosen:
    """The signal of this name.

    Raises:
        UsageError: it is unknown, cannot be loaded, or does not keep the contract.
    """
    built_in = signals()
    if name in built_in:
        return Chosen(name, built_in[name], _version_of_library(name, built_in[name]))
    file = signal_files.parse(name)
    if file is not None:
        path, member = file
        loaded = signal_files.load(path, member)
        shown = path.name if member is None else f"{path.name}:{member}"
        return _kept_contract(Chosen(shown, loaded.signal, loaded.version, loaded.file))
    offered = [entry for entry in entry_points(group=GROUP) if entry.name == name]
    if not offered:
        known = ", ".join([*built_in, *sorted({entry.name for entry in entry_points(group=GROUP)})])
        raise UsageError(f"signal {name!r}: unknown; choose one of {known}, or give FILE.py or FILE.py:NAME")
    return _kept_contract(_of_package(name, offered))


def _version_of_library(name: str, signal: Signal) -> str | None:
    """The library, with its version, that a built-in signal computes its values with; None if it needs none."""
    package = getattr(signal, "PACKAGE", None)
    if package is None:
        return None
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        extra = getattr(signal, "EXTRA", None)
        raise UsageError(
            f"signal {name!r}: needs the package {package}; install it with `pip install 'siglane[{extra}]'`"
        ) from None


def _of_package(name: str, offered: Sequence[EntryPoint]) -> Chosen:
    packages = sorted({entry.dist.name if entry.dist else entry.value for entry in offered})
    if len(packages) > 1:
        raise UsageError(f"signal {name!r}: the packages {' and '.join(packages)} both offer it; uninstall one")
    entry = offered[0]
    with told(f"signal {name!r} of package {packages[0]}", None, UsageError):
        found = entry.load()
        signal = found() if isinstance(found, type) else found
    of_package = f"{packages[0]} {entry.dist.version if entry.dist else ''}".strip()
    return Chosen(name, signal, getattr(signal, "VERSION", of_package), signal_files.file_of(entry.module))


def _kept_contract(chosen: Chosen) -> Chosen:
    for problem in _problems(chosen.signal, chosen.version):
        raise UsageError(f"signal {chosen.name!r}: {problem}")
    return chosen


def _problems(signal: Any, stated: Any) -> Iterator[str]:
    """What a signal that is not built in does not keep of the contract (`signals.Signal`)."""
    for part, what in _PARTS.items():
        if not hasattr(signal, part):
            yield f"it has no {part}; add {what}"
            return
    fields, read = signal.FIELDS, signal.READ
    if not (isinstance(fields, Mapping) and fields and all(isinstance(kind, pa.DataType) for kind in fields.values())):
        yield f"its FIELDS is {fields!r}; it must be {_PARTS['FIELDS']}, e.g. {{'width': pa.int32()}}"
        return
    for name, kind in fields.items():
        if not (isinstance(name, str) and schema.is_free_name(name)):
            yield f"its column {name!r} cannot have this name; choose another in FIELDS, of letters, digits and _"
        if not any(is_kind(kind) for is_kind in _KINDS):
            yield f"its column {name!r} has type {kind}; use numbers, booleans or strings in FIELDS"
    if isinstance(read, str) or not (isinstance(read, Sequence) and read and all(isinstance(n, str) for n in read)):
        yield f"its READ is {read!r}; it must be {_PARTS['READ']}, e.g. ('caption',)"
    if not isinstance(signal.NEEDS_TARGET, bool):
        yield f"its NEEDS_TARGET is {signal.NEEDS_TARGET!r}; it must be {_PARTS['NEEDS_TARGET']}"
    if not callable(signal.prepare):
        yield f"its prepare is {signal.prepare!r}; it must be {_PARTS['prepare']}"
    if not isinstance(stated, str):
        yield f"its VERSION is {stated!r}; it must be a string"


_KINDS = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_string)


def _require_own_columns(found: Sequence[Chosen]) -> None:
    """Checks that each column is filled by one signal, built-in signals that were not chosen included."""
    filled_by = {field: name for name, signal in signals().items() for field in signal.FIELDS}
    for chosen in found:
        for column in chosen.columns:
            other = filled_by.setdefault(column, chosen.name)
            if other != chosen.name:
                raise UsageError(
                    f"signal {chosen.name!r}: its column {column!r} is one of signal {other!r}; choose another name in "
                    "FIELDS"
                )

"""Loads a signal from a Python file.

The file must stand alone. Its functions travel to the processes of a cluster by value, so no other machine needs the
file. Files beside it would not travel, and its version, a digest of this one file, would not cover them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from pipeline.errors import UsageError
from pipeline.scoring.signal_errors import told

_NAMED = re.compile(r"(?P<file>.+\.py)(?::(?P<name>\w+))?")


@dataclass(frozen=True)
class Loaded:
    signal: Any
    version: Any
    """its VERSION if it declares one, otherwise a digest of the file"""
    file: str


def parse(text: str) -> tuple[Path, str | None] | None:
    """(FILE.py, NAME or None); None if the text does not name a Python file."""
    named = _NAMED.fullmatch(text)
    return None if named is None else (Path(named["file"]), named["name"])


def load(path: Path, name: str | None) -> Loaded:
    """The signal `name` of a file; without a name, the file is the signal itself. A class is called without arguments.

    Raises:
        UsageError: the file cannot be read or executed, imports a file beside it, or has no such name.
    """
    file = str(path.absolute())
    try:
        code = path.read_bytes()
    except OSError as error:
        raise UsageError(f"signal {path}: cannot be read: {error.strerror}; give the path of a Python file") from error
    module = _executed(file, code)
    if name is None:
        found: Any = module
    elif hasattr(module, name):
        found = getattr(module, name)
    else:
        raise UsageError(f"signal {path}:{name}: the file has no {name}; it has {_names(module)}")
    if isinstance(found, type):
        with told(f"signal {path}:{name}", file, UsageError):
            found = found()
    return Loaded(found, getattr(found, "VERSION", blake2b(code, digest_size=8).hexdigest()), file)


def file_of(module: str) -> str:
    """The file of an installed module."""
    return str(import_module(module).__file__)


@cache
def _executed(file: str, code: bytes) -> ModuleType:
    """The module that a file's code makes.

    It is among `sys.modules` only while its code runs: what pickles its functions then takes them along by value,
    because it cannot find them by name.
    """
    module = ModuleType(f"siglane_signal_{blake2b(code, digest_size=8).hexdigest()}")
    module.__file__ = file
    sys.modules[module.__name__] = module
    try:
        with _without_neighbours(Path(file)), told("signal", file, UsageError):
            exec(compile(code, file, "exec"), module.__dict__)
    finally:
        del sys.modules[module.__name__]
    return module


@contextmanager
def _without_neighbours(file: Path) -> Iterator[None]:
    """Hides the file's folder from imports in the block, and says so if one of them would have found a file there."""
    before = list(sys.path)
    sys.path[:] = [entry for entry in before if Path(entry or ".").resolve() != file.parent.resolve()]
    try:
        yield
    except UsageError as error:
        missing = error.__cause__
        first = str(missing.name).partition(".")[0] if isinstance(missing, ModuleNotFoundError) else ""
        if first and any((file.parent / place).exists() for place in (f"{first}.py", first)):
            raise UsageError(
                f"signal {file}: imports {first}, a file beside it, which would not travel with it to a cluster; put "
                "the code into one file, or install it as a package"
            ) from error
        raise
    finally:
        sys.path[:] = before


def _names(module: ModuleType) -> str:
    return ", ".join(name for name in vars(module) if not name.startswith("_")) or "nothing"

"""Turns what a user's signal raises into one line that names the line of its file."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import SiglaneError

FAILURES = (Exception, SystemExit)
"""what code of a user may raise"""
_LONGEST = 300


@contextmanager
def told(what: str, file: str | None, kind: type[SiglaneError]) -> Iterator[None]:
    """Raises what a user's code in the block raises as an error `kind`. `file`: that of the code, if it is known."""
    try:
        yield
    except FAILURES as error:
        raise kind(f"{what}: {described(error, file)}") from error


def described(error: BaseException, file: str | None) -> str:
    """FILE line N: TYPE: TEXT. N is the last line of this file that was reached; without a file, of the
    last one."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames[1:] if not frame.filename.startswith("<frozen")]
    inside = [frame for frame in frames if frame.filename == file] or ours
    if isinstance(error, SyntaxError) and error.filename == file:
        return f"{file} line {error.lineno}: {type(error).__name__}: {error.msg}"
    where = f"{inside[-1].filename} line {inside[-1].lineno}: " if inside else ""
    text = " ".join(str(error).split())[:_LONGEST]
    return f"{where}{type(error).__name__}" + (f": {text}" if text else "")

"""What all commands share: they parse options, print a summary, and turn an error into one line and an exit code."""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, TextIO, TypeVar

from pydantic import BaseModel

from jobs import log_format, options
from pipeline.errors import SiglaneError, UsageError
from siglip_core.errors import SiglipError

DONE, FAILED, WRONG_USAGE, TOO_MANY_REJECTS, STOPPED, INTERRUPTED = 0, 1, 2, 3, 4, 130

TALKATIVE = ("aiobotocore", "azure", "httpx", "httpx2", "pylance", "torch")
"""Libraries whose log is shown from warnings up. Below that, the clients of stores log every request, with the
signature in its URL, and where they found credentials; torch logs its caches when a process ends, and pylance how long
its parts took."""

Options = TypeVar("Options", bound=BaseModel)

log = logging.getLogger(__name__)

_signals = list[int]()
"""the signals received that ask the command to stop"""


@dataclass(frozen=True)
class Result:
    """What a command prints: `summary` for machines (`--json`, stdout), `text` for people (stderr)."""

    summary: dict[str, Any]
    text: str
    exit_code: int = DONE
    advice: str | None = field(default=None)
    """why the exit code is not 0"""
    document: str | None = None
    """what goes to stdout without `--json`"""


def run(model: type[Options], work: Callable[[Options], Result], doc: str, arguments: Sequence[str] | None) -> int:
    """Runs one command and returns its exit code. `doc` is the docstring of the command's module."""
    command = work.__module__.rpartition(".")[2]
    if command == "__main__":
        command = Path(sys.argv[0]).stem
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    for library in TALKATIVE:
        logging.getLogger(library).setLevel(logging.WARNING)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)
    _signals.clear()
    try:
        return _run(model, work, command, doc, sys.argv[1:] if arguments is None else arguments)
    except (SiglaneError, SiglipError) as error:
        _say(f"siglane {command}: {error}", logging.ERROR)
        return exit_code(error)
    except KeyboardInterrupt:
        return _interrupted(command)
    except Exception as error:
        # Code that a signal interrupts, such as an import, may turn the KeyboardInterrupt into another error.
        if _signals:
            return _interrupted(command)
        if not log_format.is_json():
            raise
        _say(f"siglane {command}: {log_format.summary(error)}", logging.ERROR, error)
        return FAILED
    finally:
        # The command has finished and its exit code is known. A signal while Python exits would change that code.
        atexit.register(_ignore_signals)


def exit_code(error: BaseException) -> int:
    """With which a command ends that raises this."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return WRONG_USAGE if isinstance(error, UsageError) else FAILED


def _run(
    model: type[Options], work: Callable[[Options], Result], command: str, doc: str, arguments: Sequence[str]
) -> int:
    parsed, invocation = options.parse(model, command, doc.partition("\n")[0], arguments)
    if invocation.print_config:
        sys.stdout.write(options.to_yaml(parsed))
        return DONE
    with _stdout_for_summary() as stdout:
        result = work(parsed)
        if result.text:
            _say(result.text.rstrip("\n"))
        if invocation.json:
            stdout.write(json.dumps(result.summary, allow_nan=False) + "\n")
        elif result.document is not None:
            stdout.write(result.document)
    if result.advice:
        _say(f"siglane {command}: {result.advice}", logging.ERROR)
    return result.exit_code


@contextlib.contextmanager
def _stdout_for_summary() -> Iterator[TextIO]:
    """Keeps stdout for the summary alone: all other writes to it, by libraries and workers too, go to stderr."""
    sys.stdout.flush()
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as stdout:
        os.dup2(2, 1)
        try:
            yield stdout
        finally:
            sys.stdout.flush()
            stdout.flush()
            os.dup2(stdout.fileno(), 1)


def _interrupted(command: str) -> int:
    again = "finished work is kept, run the same command again to continue"
    _say(f"siglane {command}: stopped; {again}", logging.WARNING)
    return INTERRUPTED


def _say(text: str, level: int = logging.INFO, error: Exception | None = None) -> None:
    """Writes to stderr: the text, or with `--log-format json` an object that has it, and the error's traceback."""
    if log_format.is_json():
        log.log(level, "%s", text, exc_info=error)
    else:
        sys.stderr.write(text + "\n")


def _ignore_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    _signals.append(number)
    raise KeyboardInterrupt

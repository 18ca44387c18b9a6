"""A progress bar in the last line of a terminal. Whatever else is written meanwhile scrolls above it, unchanged."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from jobs import progress as words
from pipeline.progress import Progress, View

SECONDS_BETWEEN = 0.25
BAR_WIDTHS = 8, 24
"""the least and the most"""
WORDS_WIDTH = 99
"""the words need about so much; more is for the bar"""
LEAST_WIDTH = 60
"""a narrower terminal shows no bar, only the words"""
UNKNOWN_WIDTH = 80
"""for a terminal that says 0, as those of some containers do"""
_ERASE = "\r\x1b[2K"


@contextmanager
def bar(progress: Progress) -> Iterator[None]:
    """Shows a progress in the terminal of stderr until the block ends."""
    shown = _Bar(sys.stderr, progress)
    with _redirected(_Above(shown, sys.stderr)), shown:
        yield


class _Bar:
    """Erased while others write, and drawn again by a thread."""

    def __init__(self, terminal: TextIO, progress: Progress) -> None:
        self._terminal, self._progress = terminal, progress
        self._console = Console(file=terminal)
        self._lock = threading.RLock()
        self._is_drawn = False
        self._is_amid_line = False
        """whether the others' text has not ended its line yet; the bar must not join it"""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_drawing, name="progress", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()
        with self._lock:
            self._erase()

    def write(self, text: str) -> None:
        """Writes a text of others."""
        with self._lock:
            self._erase()
            self._terminal.write(text)
            self._is_amid_line = not text.endswith("\n")

    def _keep_drawing(self) -> None:
        while not self._over.wait(SECONDS_BETWEEN):
            try:
                self._draw()
            except OSError:  # the terminal is gone; the command goes on without it
                return

    def _draw(self) -> None:
        view = self._progress.look()
        with self._lock:
            if self._is_amid_line or self._over.is_set():
                return
            # Not rich's own width: it may be that of another terminal, or of an old variable COLUMNS.
            columns = os.get_terminal_size(self._terminal.fileno()).columns or UNKNOWN_WIDTH
            self._console.width = max(1, columns - 1)
            with self._console.capture() as drawn:
                self._console.print(_picture(view, self._console.width), end="")
            self._terminal.write(_ERASE + drawn.get().rstrip())
            self._terminal.flush()
            self._is_drawn = True

    def _erase(self) -> None:
        if self._is_drawn:
            self._terminal.write(_ERASE)
            self._terminal.flush()
            self._is_drawn = False


def _picture(view: View, width: int) -> Table:
    share = view.share
    grid = Table.grid(padding=(0, 1))
    grid.width = width
    cells: list[Any] = [Text(view.step, no_wrap=True)]
    grid.add_column(no_wrap=True)
    if width >= LEAST_WIDTH:
        least, most = BAR_WIDTHS
        bar_width = min(most, max(least, width - WORDS_WIDTH))
        grid.add_column(width=bar_width)
        cells.append(ProgressBar(1.0, share or 0.0, width=bar_width, pulse=share is None))
    grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    cells.append(Text(", ".join(words.parts(view)), no_wrap=True, overflow="ellipsis"))
    grid.add_row(*cells)
    return grid


class _Above:
    """Stands for stdout and stderr: what is written to it appears above the bar."""

    def __init__(self, bar: _Bar, stream: TextIO) -> None:
        self._bar, self._stream = bar, stream

    def write(self, text: str) -> int:
        if text:
            self._bar.write(text)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def _redirected(above: Any) -> Iterator[None]:
    """Lets stdout, stderr and the logs that go there write above the bar. (A command's stdout is its stderr.)"""
    before = sys.stdout, sys.stderr
    handlers = [handler for handler in _handlers() if handler.stream in before]
    streams = [handler.setStream(above) for handler in handlers]
    sys.stdout = sys.stderr = above
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for handler, stream in zip(handlers, streams, strict=True):
            handler.setStream(stream)


def _handlers() -> list[logging.StreamHandler[Any]]:
    loggers = [logging.getLogger(), *(logging.getLogger(name) for name in logging.root.manager.loggerDict)]
    found = [handler for logger in loggers for handler in logger.handlers]
    return [handler for handler in found if isinstance(handler, logging.StreamHandler)]

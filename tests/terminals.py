"""`siglane` in a terminal of its own, as a person meets it, and what they see there."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from pathlib import Path

from tests.processes import ROOT, start

ERASED = "\r\x1b[2K"
INTERRUPT = b"\x03"
_STYLE = re.compile(r"\x1b\[[0-9;]*m")

SIGLANE = "import sys; from jobs.cli import main; sys.exit(main(sys.argv[1:]))"
# The terminal must be the one that controls the process: only then does a typed Ctrl-C reach it.
_CONTROLLED = "import fcntl, termios; fcntl.ioctl(2, termios.TIOCSCTTY, 0)\n"


class Terminal:
    """A terminal of some width, and all that was written to it."""

    def __init__(self, folder: Path, width: int = 100) -> None:
        self.folder, self.width = folder, width
        self.written = ""
        self.stdout = ""
        """what a command with `stdout=PIPE` has written there"""

    def run(
        self,
        *arguments: object,
        environment: Mapping[str, str] | None = None,
        stdout: int | None = None,
        interrupted_at: str | None = None,
        code: str = SIGLANE,
    ) -> int:
        """Runs a command to its end, and returns its exit code.

        Args:
            code: the program to run, by default `siglane`.
            stdout: `subprocess.PIPE` keeps stdout apart; otherwise it is the terminal, too.
            interrupted_at: Ctrl-C is typed once the terminal shows this text.
        """
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, self.width, 0, 0))
        variables = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **(environment or {})}
        process = start(
            *(sys.executable, "-c", _CONTROLLED + code, *arguments),
            folder=self.folder,
            environment=variables,
            output=theirs if stdout is None else stdout,
            errors=theirs,
        )
        os.close(theirs)
        try:
            while more := _read(ours):
                self.written += more.decode()
                if interrupted_at is not None and interrupted_at in self.written:
                    os.write(ours, INTERRUPT)
                    interrupted_at = None
        finally:
            os.close(ours)
        if stdout is subprocess.PIPE:
            assert process.stdout is not None
            self.stdout = process.stdout.read()
        return process.wait()

    @property
    def screen(self) -> list[str]:
        """The lines that are left at the end. Long lines are not wrapped."""
        lines = [""]
        for part in re.split(r"(\r\n|\r\x1b\[2K)", _STYLE.sub("", self.written)):
            if part == "\r\n":
                lines.append("")
            elif part == ERASED:
                lines[-1] = ""
            else:
                lines[-1] += part
        return lines

    @property
    def bars(self) -> list[str]:
        """The bar each time that it was drawn."""
        drawn = _STYLE.sub("", self.written).split(ERASED)[1:]
        return [text for text in drawn if text and "\n" not in text]


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # no process has it open any more
        return b""

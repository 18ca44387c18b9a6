"""Tells somebody that a run has ended, however it ended: a web server, or a command of the user's own."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from jobs import command
from jobs.command import Result
from pipeline import storage

SECONDS_FOR_AN_ANSWER = 30.0

log = logging.getLogger(__name__)


def told(hook: str | None, name: str, work: Callable[[], Result]) -> Result:
    """Runs a command, and then tells `hook` its summary, `exit_code` and `message`.

    A hook that fails is a line in the log. It changes neither the result nor the exit code.

    Args:
        hook: a URL, which gets the summary by POST, or a shell command, which gets it on stdin; None: nobody is told.
        name: of the command.
        work: runs it.
    """
    if hook is None:
        return work()
    try:
        result = work()
    except BaseException as error:
        _tell(hook, {"command": name, "exit_code": command.exit_code(error), "message": str(error) or "stopped"})
        raise
    ending = {"command": name, "exit_code": result.exit_code, "message": result.advice}
    _tell(hook, {**result.summary, **ending})
    return result


def _tell(hook: str, summary: Mapping[str, Any]) -> None:
    body = json.dumps(summary, allow_nan=False).encode()
    try:
        if hook.startswith(("http://", "https://")):
            request = urllib.request.Request(hook, body, {"Content-Type": "application/json"})
            urllib.request.urlopen(request, timeout=SECONDS_FOR_AN_ANSWER).close()
        else:
            variables = os.environ | {"SIGLANE_EXIT_CODE": str(summary["exit_code"])}
            subprocess.run(
                hook,
                shell=True,
                input=body,
                env=variables,
                stdout=sys.stderr,
                timeout=SECONDS_FOR_AN_ANSWER,
                check=True,
            )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        log.warning("--on-done %s failed: %s; the run itself is not touched by that", storage.redact(hook), error)

"""Log lines as JSON objects, one a line, for programs that collect logs."""

from __future__ import annotations

import json
import logging
import threading
import traceback
from datetime import UTC, datetime

log = logging.getLogger(__name__)


class JsonLines(logging.Formatter):
    """`time`, `level` and `message` of each record, what the record has in `fields`, and an error's `traceback`."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(line, allow_nan=False, ensure_ascii=False)


def use_json() -> None:
    """From now on, this process logs so, also warnings and what ends one of its threads."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JsonLines())
    logging.captureWarnings(True)
    threading.excepthook = _log_end_of_thread


def is_json() -> bool:
    return any(isinstance(handler.formatter, JsonLines) for handler in logging.getLogger().handlers)


def _log_end_of_thread(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None and not isinstance(ended.exc_value, SystemExit):
        name = "a thread" if ended.thread is None else f"the thread {ended.thread.name}"
        log.error("%s ended: %s", name, summary(ended.exc_value), exc_info=ended.exc_value)


def summary(error: BaseException) -> str:
    """The kind of an error, and the first line of what it says."""
    said = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__

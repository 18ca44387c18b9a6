"""Log lines as JSON objects, one a line, for programs that collect logs."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime


class JsonLines(logging.Formatter):
    """`time`, `level` and `message` of each record, and what the record has in `fields`."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        return json.dumps(line, allow_nan=False, ensure_ascii=False)


def use_json() -> None:
    """From now on, this process logs so."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JsonLines())

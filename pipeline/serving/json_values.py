"""Values of a table's columns as JSON has them."""

from __future__ import annotations

import math
from datetime import date, datetime
from typing import Any

import pyarrow as pa


def plain(value: Any) -> Any:
    """NaN and infinity become null, times become ISO texts, and what JSON does not know becomes text."""
    if isinstance(value, bool | int | str | None):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [plain(member) for member in value]
    if isinstance(value, dict):
        return {str(key): plain(member) for key, member in value.items()}
    return value.isoformat() if isinstance(value, datetime | date) else str(value)


def showable(field: pa.Field) -> bool:
    """Whether a column is shown to clients: vectors and bytes are not, as they would fill the answer."""
    kind = field.type
    is_bytes = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
    return not (is_bytes or pa.types.is_fixed_size_list(kind))

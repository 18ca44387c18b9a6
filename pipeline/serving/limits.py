"""What a client may ask for."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

MOST_TERMS = 32
MOST_COLUMNS = 32
MOST_TEXT = 4_000
"""characters of a text to search for; models read far fewer tokens"""
MOST_OFFSET = 100_000
_MOST_CLIENTS = 10_000
"""whose rates are kept"""


@dataclass(frozen=True)
class Limits:
    max_k: int = 1_000
    """hits of one search"""
    max_body: int = 20_000_000
    """bytes of a request"""
    max_pixels: int = 50_000_000
    """of an image to search for"""
    max_seconds: float = 30.0
    """for the answer to a request"""
    max_rate: float = 500.0
    """requests a second from one address, on average"""
    waiting: int = 1_024
    """requests that wait for the model, or for a search"""


class Rate:
    """Counts requests by client: a bucket of tokens that holds two seconds' worth."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._full = max(1.0, 2 * per_second)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """(tokens, when they were counted) by client, in the order of their last requests"""

    def seconds_to_wait(self, client: str, now: float | None = None) -> float:
        """0 if the client may ask now, and then this counts as a request."""
        now = time.monotonic() if now is None else now
        tokens, counted = self._buckets.pop(client, (self._full, now))
        tokens = min(self._full, tokens + (now - counted) * self._per_second)
        allowed = tokens >= 1
        self._buckets[client] = (tokens - allowed, now)
        if len(self._buckets) > _MOST_CLIENTS:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - tokens) / self._per_second

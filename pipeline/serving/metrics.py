"""Prometheus metrics of one app."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "siglane_requests", "Requests answered", ["method", "route", "status"], registry=self._registry
        )
        self.seconds = Histogram(
            "siglane_request_seconds",
            "Seconds from a request's headers to the end of its answer",
            ["route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.in_flight = Gauge("siglane_requests_in_flight", "Requests being answered", registry=self._registry)
        self.encoded = Histogram(
            "siglane_encoded_together",
            "Texts and images in one pass of the model",
            buckets=_SIZES,
            registry=self._registry,
        )
        self.searched = Histogram(
            "siglane_searched_together", "Searches in one call", buckets=_SIZES, registry=self._registry
        )
        self.version = Gauge("siglane_table_version", "Version of the table that is served", registry=self._registry)

    def text(self) -> bytes:
        return generate_latest(self._registry)

"""Workers' reports reach the driver, also where the machine is so busy that they take long."""

from __future__ import annotations

import pytest

from pipeline.embedding.in_flight import Begun, Ended, InFlight
from pipeline.on_ray import cluster, in_flight_events
from tests.processes import wait_for


def test_reports_that_take_longer_than_the_driver_waits_at_a_time_arrive(
    ray_address: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(in_flight_events, "MAX_WAIT_SECONDS", 0.0001)
    monkeypatch.setattr(in_flight_events, "SECONDS_BETWEEN", 0.01)
    told = InFlight()
    with cluster.connect(ray_address), in_flight_events.told_to(told, 2) as tell:
        for path in ("a", "b"):
            tell(Begun((path, 0), path, "node", "2026-01-01T00:00:00+00:00"))
            tell(Ended((path, 0), 3, 3, {}))
        wait_for(lambda: told.ended(2), "the reports do not arrive")
    assert caplog.messages == []

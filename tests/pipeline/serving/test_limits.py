"""How often a client may ask."""

from __future__ import annotations

import pytest

from pipeline.serving.limits import Rate


def test_a_client_may_ask_at_its_rate_and_twice_as_much_at_once() -> None:
    rate = Rate(5)
    assert [rate.seconds_to_wait("a", now=0.0) for _ in range(10)] == [0.0] * 10
    assert rate.seconds_to_wait("a", now=0.0) == pytest.approx(0.2)
    assert rate.seconds_to_wait("a", now=0.1) == pytest.approx(0.1)
    assert rate.seconds_to_wait("a", now=0.25) == 0.0
    assert sum(rate.seconds_to_wait("a", now=100.0) == 0.0 for _ in range(20)) == 10


def test_clients_do_not_take_from_each_other() -> None:
    rate = Rate(1)
    assert [rate.seconds_to_wait("a", now=0.0) == 0.0 for _ in range(3)] == [True, True, False]
    assert rate.seconds_to_wait("b", now=0.0) == 0.0


def test_a_slow_rate_allows_one_request() -> None:
    rate = Rate(0.1)
    assert rate.seconds_to_wait("a", now=0.0) == 0.0
    assert rate.seconds_to_wait("a", now=1.0) == pytest.approx(9.0)

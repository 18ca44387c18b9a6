"""How busy other processes keep the machine."""

from __future__ import annotations

import sys

import pytest

from pipeline import machine_load
from pipeline.machine_load import Load

STAT = """cpu  900 0 100 2000 0 0 0 0 50 0
cpu0 300 10 50 500 40 5 5 90 300 10
cpu1 600 0 50 1500 0 0 0 0 0 0
cpu2 1 0 0 9 0 0 0 0 0 0
intr 12345
"""


def test_only_cpus_that_this_process_may_use_count() -> None:
    found = machine_load.parsed(STAT, {0, 2}, 100, own=1.5)
    assert (found.busy, found.total, found.own) == (pytest.approx(4.61), pytest.approx(10.1), 1.5)


def test_what_others_took_is_what_is_not_ours() -> None:
    assert Load(busy=18.0, total=40.0, own=7.0).others_since(Load(busy=10.0, total=20.0, own=3.0)) == 0.2


@pytest.mark.parametrize(("busy", "share"), [(9.0, 0.0), (45.0, 1.0)])
def test_clocks_that_disagree_a_little_give_a_share(busy: float, share: float) -> None:
    assert Load(busy, total=40.0, own=7.0).others_since(Load(busy=10.0, total=20.0, own=3.0)) == share


def test_no_share_where_no_time_is_counted() -> None:
    assert Load(0.0, 0.0, 2.0).others_since(Load(0.0, 0.0, 1.0)) is None


def test_this_machine_is_told_where_the_system_tells() -> None:
    found = machine_load.now()
    assert (found is None) == (sys.platform != "linux")
    assert found is None or found.own > 0

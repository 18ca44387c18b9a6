"""Ray's errors, as users see them."""

from __future__ import annotations

import logging

import pytest
from ray._private.ray_logging import global_worker_stdstream_dispatcher as printed
from ray.exceptions import ObjectStoreFullError, OutOfDiskError, RayError, RayTaskError

from pipeline.errors import LostError, SiglaneError
from pipeline.on_ray import failures, spilling


@pytest.mark.parametrize("kind", [ObjectStoreFullError, OutOfDiskError])
@pytest.mark.parametrize("is_of_a_task", [False, True])
def test_a_full_object_store_is_named(kind: type[RayError], is_of_a_task: bool) -> None:
    error: RayError = kind("Local disk is full\nThe object cannot be created because the local object store is full")
    if is_of_a_task:
        error = RayTaskError("read", "Traceback …", error)
    with (
        pytest.raises(SiglaneError, match="object store is full on a node, and so is the disk") as raised,
        failures.told(),
    ):
        raise error
    assert not isinstance(raised.value, LostError)  # planning the work again would not help
    assert "\n" not in str(raised.value)


def test_an_actor_that_cannot_load_its_part_is_a_missing_package() -> None:
    with pytest.raises(SiglaneError, match="No module named 'tokenizers'; install the same packages"), failures.told():
        raise RayError("The actor died\nRaySystemError: System error: No module named 'tokenizers'\ntraceback: …")


def test_a_full_disk_of_a_node_is_one_line_of_ours(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[object] = []
    monkeypatch.setattr(printed, "emit", printed.emit)  # puts it back
    spilling.watch()
    full = {"pid": "raylet", "ip": "10.0.0.7", "is_err": True}
    error = ["Traceback (most recent call last):", '  File "external_storage.py", line 346, in spill_objects']
    other = {**full, "lines": ["a worker was killed due to memory pressure"]}
    printed.add_handler("shown", shown.append)
    try:
        with caplog.at_level(logging.WARNING):
            printed.emit({**full, "lines": ["Object creation will fail if spilling is required."]})
            printed.emit({**full, "lines": [*error, "OSError: [Errno 28] No space left on device"]})
            printed.emit(other)
    finally:
        printed.remove_handler("shown")
    assert shown == [other]
    assert [record.getMessage().partition(";")[0] for record in caplog.records] == [
        "node 10.0.0.7: the disk that Ray spills objects to is full"
    ]

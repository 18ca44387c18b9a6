"""Ray's errors, as users see them."""

from __future__ import annotations

import pytest
from ray.exceptions import ObjectStoreFullError, OutOfDiskError, RayError, RayTaskError

from pipeline.errors import LostError, SiglaneError
from pipeline.on_ray import failures


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

"""What is tried again is counted wherever it happens, and told once, in the run's summary."""

from __future__ import annotations

import errno
from collections import Counter
from pathlib import Path

import pytest

from pipeline.errors import StorageError
from pipeline.storage import retries
from tests.counted_retries import assert_retries_are_counted
from tests.faulty_proxy import FaultyProxy
from tests.processes import Siglane
from tests.s3 import S3


def test_each_retry_is_told_once() -> None:
    retries.take()
    retries.add({"HTTP 503": 2})
    retries.add({"HTTP 503": 1, "timeout": 1})
    assert retries.take() == {"HTTP 503": 3, "timeout": 1}
    assert retries.take() == Counter()


@pytest.mark.parametrize(
    ("place", "what"),
    [
        ("/data/photos", "correct the permissions"),
        ("s3://bucket/photos", "set AWS_ACCESS_KEY_ID, .* in the environment"),
    ],
)
def test_a_refused_access_names_what_to_correct(place: str, what: str) -> None:
    def refuse() -> None:
        raise PermissionError(errno.EACCES, "Permission denied", place)

    with pytest.raises(StorageError, match=rf"refused access: .*; {what}, then run the same command again"):
        retries.patiently(place, refuse)


def test_the_summary_counts_what_was_tried_again_in_children(
    s3: S3, proxy: FaultyProxy, siglane: Siglane, model: Path
) -> None:
    assert_retries_are_counted(s3, proxy, siglane, model, "--local")

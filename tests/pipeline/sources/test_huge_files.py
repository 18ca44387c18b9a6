"""Files far larger than an image or a caption are not read into memory."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from pipeline import storage
from pipeline.sample import MAX_IMAGE_BYTES
from tests.pipeline.sources.reading import read_all, reasons
from tests.samples import write_photos

HUGE = MAX_IMAGE_BYTES + 1


@pytest.fixture
def huge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three photos, of which the first has a huge image and the second a huge caption, of no block on the disk."""
    write_photos(tmp_path / "in", 3)
    os.truncate(tmp_path / "in" / "photo0000.jpg", HUGE)
    os.truncate(tmp_path / "in" / "photo0001.txt", HUGE)
    opened = storage.reading.open_file

    class Measured(io.BufferedReader):
        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            assert len(data) < HUGE
            return data

    monkeypatch.setattr(storage.reading, "open_file", lambda uri: Measured(opened(uri)))
    return tmp_path / "in"


def test_in_a_folder(huge: Path) -> None:
    samples = read_all(input=huge)
    assert reasons(samples) == ["too-large", "caption-too-long", None]
    assert samples[0].reject is not None
    assert (
        samples[0].reject.message
        == f"photo0000.jpg: {HUGE} bytes, more than the limit of {MAX_IMAGE_BYTES} for an image"
    )


def test_named_by_a_manifest(huge: Path) -> None:
    lines = [json.dumps({"url": f"photo000{index}.jpg", "caption": "c"}) for index in range(3)]
    (huge / "metadata.jsonl").write_text("\n".join(lines))
    samples = read_all(input=huge, input_format="manifest")
    assert reasons(samples) == ["too-large", None, None]
    assert samples[0].reject is not None
    assert f"{HUGE} bytes, more than the limit" in samples[0].reject.message

"""What ends a run on Ray before its work is done."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import Siglane
from tests.samples import write_photos


@pytest.fixture
def silent() -> Iterator[str]:
    """URL of a web server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


@pytest.fixture
def hanging(tmp_path: Path, silent: str) -> Path:
    """An input of which one image never comes."""
    write_photos(tmp_path / "in", 1)
    urls = ["photo0000.jpg", f"{silent}1.jpg"]
    lines = [json.dumps({"url": url, "caption": "a caption"}) for url in urls]
    (tmp_path / "in" / "0.jsonl").write_text("\n".join(lines))
    return tmp_path / "in"


def command(model: Path, ray_address: str) -> list[object]:
    return ["embed", "--input", "in/*.jsonl", "--table", "t", "--model", model, "--address", ray_address]


def test_a_run_that_hangs_is_ended_though_it_waits_in_ray(
    siglane: Siglane, model: Path, ray_address: str, hanging: Path, silent: str
) -> None:
    process = siglane.start(*command(model, ray_address), "--allow-uri", silent, "--stall-timeout", 15)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 4, err
    assert "nothing finished for --stall-timeout 15 s" in err.strip().splitlines()[-1]
    assert "Traceback" not in err

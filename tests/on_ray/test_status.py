"""What workers of a cluster have in flight, as the table tells it."""

from __future__ import annotations

import socket
from pathlib import Path

from pipeline import table
from pipeline.processes import Life
from pipeline.upkeep.status import RunAtWork, status
from tests.embedding import embed
from tests.processes import Siglane, kill_process_group, wait_for
from tests.samples import write_photos


def test_a_source_that_does_not_answer_is_named_with_its_node(
    siglane: Siglane, tmp_path: Path, model: Path, ray_address: str
) -> None:
    write_photos(tmp_path / "in" / "photos", 2)
    run = ["embed", "--input", "in", "--table", "t", "--model", model, "--input-format", "manifest"]
    (tmp_path / "in" / "a.jsonl").write_text('{"url": "photos/photo0000.jpg", "caption": "a photo"}\n')
    embed(tmp_path / "in", tmp_path / "t", model, input_format="manifest")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        (tmp_path / "in" / "b.jsonl").write_text(f'{{"url": "{address}/x.jpg", "caption": "never comes"}}\n')
        (tmp_path / "in" / "c.jsonl").write_text('{"url": "photos/photo0001.jpg", "caption": "a photo"}\n')
        process = siglane.start(*run, "--allow-uri", address, "--address", ray_address)

        def stalled() -> RunAtWork | None:
            assert process.poll() is None
            runs = status(table.parse(str(tmp_path / "t"))).runs
            # c.jsonl may have been in flight first, and is done soon
            return runs[0] if runs and (runs[0].in_flight_age or 0) > 5 else None

        try:
            found = wait_for(stalled, "the run does not say what it has in flight", seconds=120)
        finally:
            kill_process_group(process)
    assert found.holder.in_flight is not None
    assert found.holder.in_flight["source"] == "b.jsonl"
    assert found.holder.in_flight["node"] == socket.gethostname()
    assert found.life is Life.ALIVE
    assert found.holder.job is not None
    assert int(found.holder.job, 16) > 0

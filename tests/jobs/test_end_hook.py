"""`--on-done`: somebody is told how a run has ended."""

from __future__ import annotations

import json
import shlex
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.processes import Siglane
from tests.samples import write_photos


@pytest.fixture
def told() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """URL of a server, and the objects that it has got."""
    got: list[dict[str, Any]] = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", got
        server.shutdown()


def test_a_url_is_told_the_summary(
    siglane: Siglane, tmp_path: Path, model: Path, told: tuple[str, list[dict[str, Any]]]
) -> None:
    write_photos(tmp_path / "in", 3)
    url, got = told
    run = ("embed", "--input", "in", "--table", "t", "--model", model, "--local", "--on-done", url)
    summary = siglane(*run)
    assert got == [{**summary, "command": "embed", "exit_code": 0, "message": None}]


def test_it_is_told_of_a_failure_and_of_rejects(
    siglane: Siglane, tmp_path: Path, model: Path, told: tuple[str, list[dict[str, Any]]]
) -> None:
    url, got = told
    run = ("embed", "--table", "t", "--model", model, "--local", "--on-done", url, "--input")
    line = siglane.fails(*run, "nowhere", code=1)
    write_photos(tmp_path / "in", 1)
    (tmp_path / "in" / "photo0000.jpg").write_bytes(b"no image")
    siglane(*run, "in", code=3)
    assert [(end["exit_code"], end["command"]) for end in got] == [(1, "embed"), (3, "embed")]
    assert line == f"siglane embed: {got[0]['message']}"
    assert "1 of 1 row was rejected" in got[1]["message"]


def test_a_command_gets_the_summary_on_stdin_and_the_exit_code(siglane: Siglane, tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 2)
    hook = f"cat > told.json; echo $SIGLANE_EXIT_CODE > code; {shlex.quote(sys.executable)} -c 'print(1)'"
    siglane("embed", "--input", "in", "--table", "t", "--model", model, "--local", "--on-done", hook)
    assert json.loads((tmp_path / "told.json").read_text())["success"] == 2
    assert (tmp_path / "code").read_text().strip() == "0"


@pytest.mark.parametrize("hook", ["exit 3", "http://127.0.0.1:9/?token=hidden-in-no-line", "no://such"])
def test_a_hook_that_fails_is_a_line(hook: str, siglane: Siglane, tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 1)
    process = siglane.start("embed", "--input", "in", "--table", "t", "--model", model, "--local", "--on-done", hook)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "--on-done " in err
    assert "failed: " in err
    assert "hidden-in-no-line" not in err

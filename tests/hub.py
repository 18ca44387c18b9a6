"""A hub with one private dataset, on loopback: what huggingface_hub asks of it to list files and to read ranges."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

DATASET, TOKEN, SIGNATURE = "owner/name", "hf_siglanetests0001", "siglane-tests-signature"
ADDRESS = f"hf://datasets/{DATASET}"

_TREE = re.compile(rf"/api/datasets/{DATASET}/tree/main/?(.*)")
_FILE = re.compile(rf"/datasets/{DATASET}/resolve/main/(.*)")
_STORED = "/stored-elsewhere/"


@contextmanager
def hub(folder: Path) -> Iterator[None]:
    """Serves a folder as the dataset; the environment names it and the token for processes that are started."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, folder))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
            patch.setenv("HF_TOKEN", TOKEN)
            patch.delenv("HF_HUB_OFFLINE", raising=False)
            patch.setenv("NO_PROXY", "127.0.0.1")
            yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, folder: Path, *arguments: object) -> None:
        self.folder = folder
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if path.startswith(_STORED):
            self._send_range(self.folder / path.removeprefix(_STORED))
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._send(401, {"X-Error-Code": "RepoNotFound"}, b"{}")
        elif found := _TREE.fullmatch(path):
            self._send_tree(self.folder / found[1], recursive="recursive=true" in self.path)
        elif found := _FILE.fullmatch(path):
            # as the hub does for large files
            self._send(302, {"Location": f"{_STORED}{found[1]}?Signature={SIGNATURE}"})
        elif path in (f"/api/datasets/{DATASET}", f"/api/datasets/{DATASET}/revision/main"):
            self._send(200, {}, json.dumps({"id": DATASET, "sha": "0" * 40, "private": True}).encode())
        else:
            self._send(404, {"X-Error-Code": "EntryNotFound"}, b"{}")

    def _send_tree(self, folder: Path, recursive: bool) -> None:
        if not folder.is_dir():
            self._send(404, {"X-Error-Code": "EntryNotFound"}, b"{}")
            return
        found = sorted(folder.rglob("*") if recursive else folder.iterdir())
        self._send(200, {}, json.dumps([self._entry(file) for file in found]).encode())

    def _entry(self, file: Path) -> dict[str, object]:
        path = file.relative_to(self.folder).as_posix()
        if file.is_dir():
            return {"type": "directory", "oid": "0" * 40, "size": 0, "path": path}
        data = file.read_bytes()
        return {"type": "file", "oid": hashlib.sha1(data).hexdigest(), "size": len(data), "path": path}

    def _send_range(self, file: Path) -> None:
        data = file.read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if asked is None:
            self._send(200, {}, data)
            return
        part = data[int(asked[1]) : int(asked[2]) + 1]
        place = f"bytes {asked[1]}-{int(asked[1]) + len(part) - 1}/{len(data)}"
        self._send(206, {"Content-Range": place}, part)

    def _send(self, status: int, headers: dict[str, str], content: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Tests say what went wrong."""

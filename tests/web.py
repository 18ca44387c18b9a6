"""A web server on loopback that serves a folder, by ranges or whole files only."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@contextmanager
def web_server(folder: Path, ranges: bool = True) -> Iterator[str]:
    """Gives its URL."""
    with _serving(partial(_Ranges if ranges else _Quiet, directory=str(folder))) as url:
        yield url


@contextmanager
def endless_server() -> Iterator[str]:
    """Gives the URL of a server that answers whatever it is asked for with bytes that do not end."""
    with _serving(_Endless) as url:
        yield url


@contextmanager
def slow_server(folder: Path, seconds: float) -> Iterator[str]:
    """Gives the URL of a server that answers one request after the other, and takes so long for each."""
    one_at_a_time = threading.Lock()

    class Slow(_Ranges):
        def do_GET(self) -> None:
            with one_at_a_time:
                time.sleep(seconds)
                super().do_GET()

    with _serving(partial(Slow, directory=str(folder))) as url:
        yield url


@contextmanager
def _serving(handler: Callable[..., SimpleHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Tests say what went wrong."""


class _Endless(_Quiet):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        with suppress(ConnectionError):  # until nobody reads on
            while True:
                self.wfile.write(bytes(1 << 16))


class _Ranges(_Quiet):
    """With ranges, which Python's own server does not know."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        file = Path(self.translate_path(self.path))
        if asked is None or not file.is_file():
            super().do_GET()
            return
        data = file.read_bytes()
        part = data[int(asked[1]) : int(asked[2]) + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {asked[1]}-{int(asked[1]) + len(part) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def end_headers(self) -> None:
        self.send_header("Accept-Ranges", "bytes")
        super().end_headers()

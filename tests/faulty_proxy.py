"""A proxy before an HTTP server that fails on command: with a status, a reset, a lost or half an answer, or none."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

Fault = Literal["403", "404", "429", "500", "502", "503", "504", "reset", "lost", "truncate", "stall", "unconditional"]
LONGEST_STALL_SECONDS = 60

_CODES = {
    "403": "AccessDenied",
    "404": "NoSuchKey",
    "429": "TooManyRequests",
    "500": "InternalError",
    "503": "SlowDown",
}


@dataclass
class _Rule:
    fault: Fault
    times: int
    method: str
    path: str
    after: int

    def takes(self, method: str, path: str) -> bool:
        if self.times <= 0 or not method.startswith(self.method) or self.path not in path:
            return False
        if self.after > 0:
            self.after -= 1
            return False
        self.times -= 1
        return True


@dataclass
class FaultyProxy:
    """Passes requests on, but for those that a rule takes. Headers stay as they are, so signatures hold."""

    backend: int
    """port on loopback"""
    url: str = ""
    latency: float = 0.0
    """seconds that each request waits before it is passed on"""
    requests: list[tuple[str, str]] = field(default_factory=list)
    """(method, path) of each request, those that failed too"""
    failed: int = 0
    _rules: list[_Rule] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _healed: threading.Event = field(default_factory=threading.Event)

    def fail(self, fault: Fault, times: int = 1 << 30, method: str = "", path: str = "", after: int = 0) -> None:
        """Fails the next `times` requests of this method whose path contains `path`, once `after` of them are through.

        `reset` does so before the server has seen the request, `lost` when it has done what was asked.
        `unconditional` passes a request on without its conditions, as a server does that does not know them.
        """
        self._healed.clear()
        self._rules.append(_Rule(fault, times, method, path, after))

    def heal(self) -> None:
        self._rules.clear()
        self._healed.set()

    def fault_of(self, method: str, path: str) -> Fault | None:
        with self._lock:
            self.requests.append((method, path))
            fault = next((rule.fault for rule in self._rules if rule.takes(method, path)), None)
            self.failed += fault is not None
            return fault

    def wait_until_healed(self) -> None:
        self._healed.wait(LONGEST_STALL_SECONDS)


@contextmanager
def faulty_proxy(backend: int) -> Iterator[FaultyProxy]:
    proxy = FaultyProxy(backend)
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": proxy}))
    proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.heal()
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up on a fault is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: FaultyProxy

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        time.sleep(self.proxy.latency)
        fault = self.proxy.fault_of(self.command, self.path)
        if fault == "reset":
            self._reset()
            return
        if fault is not None and fault.isdigit():
            content = f"<?xml version='1.0'?><Error><Code>{_CODES.get(fault, 'Error')}</Code></Error>".encode()
            self._answer(int(fault), {"Content-Type": "application/xml"}, content, len(content))
            return
        headers = dict(self.headers.items())
        if fault == "unconditional":
            headers = {name: value for name, value in headers.items() if not name.lower().startswith("if-")}
        try:
            status, answered, content = self._ask_backend(body, headers)
        except OSError:  # the server is down
            self._reset()
            return
        if fault == "lost":
            self._reset()
            return
        length = int(answered.get("Content-Length") or len(content))
        if fault == "truncate":
            self._answer(status, answered, content[: len(content) // 2], length)
            self._reset()
        elif fault == "stall":
            self._answer(status, answered, content[: len(content) // 2], length)
            self.proxy.wait_until_healed()
            self._reset()
        else:
            self._answer(status, answered, content, length)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on  # noqa: N815

    def _ask_backend(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.backend, timeout=LONGEST_STALL_SECONDS)
        try:
            connection.request(self.command, self.path, body, dict(headers))
            response = connection.getresponse()
            dropped = {"transfer-encoding", "connection", "content-length"}
            kept = {name: value for name, value in response.getheaders() if name.lower() not in dropped}
            if self.command == "HEAD" and response.getheader("Content-Length"):
                kept["Content-Length"] = str(response.getheader("Content-Length"))
            return response.status, kept, response.read()
        finally:
            connection.close()

    def _answer(self, status: int, headers: Mapping[str, str], content: bytes, length: int) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name != "Content-Length":
                self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        self.wfile.flush()

    def _reset(self) -> None:
        """Closes the connection so that the client sees a reset."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.shutdown(socket.SHUT_RD)
        self.connection.close()

    def log_message(self, *args: object) -> None:
        """Tests say what went wrong."""

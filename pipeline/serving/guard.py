"""What stands before every request: who may ask, how often, how much, and for how long.

It also counts requests, and adds the headers that keep a browser from running or sending anything foreign.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Collection
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.serving.limits import Limits, Rate
from pipeline.serving.metrics import Metrics
from pipeline.serving.problems import RETRY_SECONDS, problem

COOKIE = "siglane_token"
OPEN = ("/", "/health", "/ready", "/api/session")
"""paths that need no token; so do the files of the page, which hold nothing of the table"""
OPEN_BELOW = "/page/"
LOOPBACK = ("localhost", "127.0.0.1", "::1")

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


class Token:
    """The secret that clients give, if the service has one. Comparisons take the same time whatever they are given."""

    def __init__(self, secret: str | None) -> None:
        self._secret = None if secret is None else secret.encode()

    @property
    def is_needed(self) -> bool:
        return self._secret is not None

    def is_right(self, given: str) -> bool:
        return self._secret is not None and hmac.compare_digest(given.encode("utf-8", "replace"), self._secret)

    def allows(self, headers: Headers) -> bool:
        """Whether a request has the token, in `Authorization: Bearer` or in the cookie of the page."""
        if self._secret is None:
            return True
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return self.is_right(given.strip())
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and self.is_right(cookie.value)


class Guard:
    """ASGI middleware around the app."""

    def __init__(
        self, app: ASGIApp, limits: Limits, token: Token, metrics: Metrics, hosts: Collection[str] | None
    ) -> None:
        """`hosts`: the names by which clients may ask for the service; None for any name.

        Without them, a web page elsewhere could have its own name point to a service on loopback, and read it.
        """
        self._app, self._limits, self._token, self._metrics, self._hosts = app, limits, token, metrics, hosts
        self._rate = Rate(limits.max_rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        watched = _Watched(send)
        began = time.perf_counter()
        self._metrics.in_flight.inc()
        try:
            await self._answer(scope, receive, watched)
        finally:
            self._metrics.in_flight.dec()
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(scope["method"], route, str(watched.status)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - began)

    async def _answer(self, scope: Scope, receive: Receive, watched: _Watched) -> None:
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, watched)
            return
        try:
            async with asyncio.timeout(self._limits.max_seconds) as timer:
                await self._app(scope, _Bounded(receive, self._limits.max_body), watched)
        except TimeoutError:
            if watched.status or not timer.expired():
                raise
            late = problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"the answer took more than {self._limits.max_seconds:g} s; ask for less, or send it again later",
                {"Retry-After": str(RETRY_SECONDS)},
            )
            await late(scope, receive, watched)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if self._hosts is not None and _host(headers.get("host", "")) not in self._hosts:
            return problem(HTTPStatus.BAD_REQUEST, f"the Host of the request is none of {', '.join(self._hosts)}")
        client = scope["client"][0] if scope.get("client") else ""
        if seconds := self._rate.seconds_to_wait(client):
            return problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"more than {self._limits.max_rate:g} requests a second from one address",
                {"Retry-After": str(max(1, round(seconds)))},
            )
        path = scope["path"]
        if not (path in OPEN or path.startswith(OPEN_BELOW) or self._token.allows(headers)):
            return problem(
                HTTPStatus.UNAUTHORIZED,
                "the token is missing or wrong; send it as Authorization: Bearer TOKEN",
                {"WWW-Authenticate": "Bearer"},
            )
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            return problem(HTTPStatus.BAD_REQUEST, "the Content-Length is not a number")
        return _too_large(self._limits.max_body) if int(length) > self._limits.max_body else None


def _too_large(most: int) -> Response:
    return problem(413, f"the request has more than {most} bytes", {"Connection": "close"})


def _host(header: str) -> str:
    """`[::1]:8000` -> `::1`."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].lower()


class _Bounded:
    """Receives a body up to a number of bytes, also where its length was not announced."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive, self._left, self._most = receive, most, most

    async def __call__(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise HTTPException(413, f"the request has more than {self._most} bytes")
        return message


class _Watched:
    """Sends an answer with our headers, and remembers its status."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)

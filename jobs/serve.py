"""Serve a table over HTTP: search, rows, images and cuts, for programs and for a page in the browser."""

from __future__ import annotations

import ipaddress
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from jobs import command, shown_input
from jobs.command import Result
from pipeline.errors import SiglaneError, UsageError
from pipeline.sources import InputOptions, SourceOptions

if TYPE_CHECKING:
    from types import FrameType

    import uvicorn

    from pipeline.serving.service import Served

log = logging.getLogger(__name__)

_SERVING = "serving table %s on %s; SIGTERM or Ctrl-C ends it"
_DRAIN_SECONDS = 5.0
"""to end after the last answer, beyond the time that an answer may take"""


class ServeJob(InputOptions):
    """Every option of `siglane serve`."""

    table: str = Field(description="DATABASE/NAME of the table; add @TAG or @VERSION to serve a fixed version")
    host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0 is every address of this machine")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    token_env: str | None = Field(
        None, description="NAME of the environment variable that holds the token clients must send"
    )
    replicas: int | None = Field(
        None, ge=1, description="serve by so many processes on a Ray cluster; default: by this process"
    )
    address: str | None = Field(
        None, description="with --replicas, the Ray cluster; default: RAY_ADDRESS, else a new one on this machine"
    )
    max_k: int = Field(1_000, ge=1, le=100_000, description="most hits of one search")
    max_body: int = Field(20_000_000, ge=1_000, description="most bytes of a request, such as one with an image")
    max_seconds: float = Field(30.0, gt=0, allow_inf_nan=False, description="most seconds until a request is answered")
    max_rate: float = Field(
        500.0, gt=0, allow_inf_nan=False, description="most requests a second from one address, on average"
    )
    model: str | None = Field(None, description="folder of the model, if it has moved since the table was made")
    input: tuple[str, ...] = Field(
        (),
        description="input that the table was made from, to show images",
        json_schema_extra={"repeatable": True},
    )

    @model_validator(mode="after")
    def _on_a_cluster(self) -> ServeJob:
        if self.address is not None and self.replicas is None:
            raise ValueError("--address is for --replicas: give --replicas too, or leave --address out")
        if self.replicas is not None and self.port == 0:
            raise ValueError("--replicas needs a port: give --port")
        return self

    @model_validator(mode="after")
    def _nothing_without_use(self) -> ServeJob:
        shown_input.require_use(self)
        return self


def serve(options: ServeJob) -> Result:
    served = _served(options)
    url = _here(options, served) if options.replicas is None else _on_cluster(options, served, options.replicas)
    return Result({"table": options.table, "url": url}, f"{options.table}: no longer served on {url}")


def _here(options: ServeJob, served: Served) -> str:
    """Serves by this process until a signal ends it. Returns where it served."""
    with _listen(options) as listening:
        import uvicorn

        from pipeline.serving.app import create_app

        app = create_app(served)
        url = _url(*listening.getsockname()[:2])
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=int(options.max_seconds + _DRAIN_SECONDS),
        )
        server = uvicorn.Server(config)
        with _ended_by_signals(server):
            log.info(_SERVING, options.table, url)
            server.run(sockets=[listening])
    return url


@contextmanager
def _ended_by_signals(server: uvicorn.Server) -> Iterator[None]:
    """Signals end the server also before it has handlers of its own, and once more when it repeats them at its end."""

    def end(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _on_cluster(options: ServeJob, served: Served, replicas: int) -> str:
    """Serves by a cluster until a signal ends it. Returns where it served."""
    from pipeline.on_ray import cluster, serving

    url = _url(options.host, options.port)
    with (
        cluster.connect(options.address),
        serving.deployed(served, replicas, options.host, options.port),
        suppress(KeyboardInterrupt),
    ):
        log.info(_SERVING, options.table, url)
        threading.Event().wait()
    return url


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def _served(options: ServeJob) -> Served:
    from pipeline.serving.guard import LOOPBACK
    from pipeline.serving.limits import Limits
    from pipeline.serving.service import Served

    token = _token(options.token_env)
    is_loopback = _is_loopback(options.host)
    if not is_loopback and token is None:
        log.warning("anyone who reaches %s can read the table; --token-env lets in only who has a token", options.host)
    return Served(
        table=options.table,
        model=options.model,
        source=SourceOptions.part_of(options) if options.input else None,
        limits=Limits(
            max_k=options.max_k,
            max_body=options.max_body,
            max_seconds=options.max_seconds,
            max_rate=options.max_rate,
        ),
        token=token,
        hosts=tuple(dict.fromkeys([*LOOPBACK, options.host])) if is_loopback else None,
    )


def _token(variable: str | None) -> str | None:
    if variable is None:
        return None
    token = os.environ.get(variable, "")
    if not (token.isascii() and token.isprintable()) or " " in token or not token:
        raise UsageError(
            f"--token-env {variable}: the variable is not set, or holds something else than ASCII without spaces; set "
            f'it, e.g. export {variable}="$(openssl rand -hex 32)"'
        )
    return token


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(options: ServeJob) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        return socket.create_server((options.host, options.port), family=family, backlog=1024)
    except OSError as error:
        raise SiglaneError(
            f"cannot listen on {options.host} port {options.port}: {error.strerror}; choose another --host or --port"
        ) from error


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(ServeJob, serve, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())

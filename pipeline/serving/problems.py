"""Errors as `application/problem+json`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from pipeline.errors import EstimateError, InputError, OutdatedError, StorageError, TableError, UsageError
from pipeline.sample import shown
from pipeline.serving.batching import OverloadedError
from pipeline.serving.messages import Problem
from pipeline.serving.snapshots import UnavailableError
from siglip_core.errors import SiglipError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 1

STATUS_OF: Mapping[type[Exception], HTTPStatus] = {
    UsageError: HTTPStatus.UNPROCESSABLE_ENTITY,
    TableError: HTTPStatus.UNPROCESSABLE_ENTITY,
    EstimateError: HTTPStatus.UNPROCESSABLE_ENTITY,
    SiglipError: HTTPStatus.UNPROCESSABLE_ENTITY,
    OutdatedError: HTTPStatus.SERVICE_UNAVAILABLE,
    StorageError: HTTPStatus.SERVICE_UNAVAILABLE,
    InputError: HTTPStatus.SERVICE_UNAVAILABLE,
    UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    OverloadedError: HTTPStatus.SERVICE_UNAVAILABLE,
    TimeoutError: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""by the error's class or the nearest class above it"""

RESPONSES: dict[int | str, dict[str, Any]] = {
    int(status): {"description": status.phrase, "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}}
    for status in (
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.NOT_FOUND,
        HTTPStatus(413),  # its name differs between versions of Python
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
    )
}
"""what every operation may answer instead, for its description"""


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    content = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail).model_dump()
    return JSONResponse(content, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def handle(app: FastAPI) -> None:
    """Turns every error of this app into a problem."""
    for kind in STATUS_OF:
        app.add_exception_handler(kind, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unknown)


def _known(_request: Request, error: Exception) -> Response:
    status = next(STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)
    details = {
        OverloadedError: "too many requests are waiting; send it again later",
        TimeoutError: "the answer took too long; ask for less, or send it again later",
    }
    detail = details.get(type(error)) or str(error)
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return problem(status, detail)
    log.warning("%s", detail)
    return problem(status, detail, {"Retry-After": str(RETRY_SECONDS)})


def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    parts = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()[:5]]
    # what was sent is not repeated, but names of unknown fields are
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, shown("; ".join(parts)))


def _http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, str(error.detail), error.headers)


def _unknown(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "a bug of siglane: its log has the traceback")

"""The page, its style and its scripts, from the files of the package."""

from __future__ import annotations

from functools import cache
from importlib import resources

from fastapi import APIRouter, Response
from starlette.exceptions import HTTPException

_KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_NOT_KEPT = {"Cache-Control": "no-cache"}


def router() -> APIRouter:
    made = APIRouter(include_in_schema=False)

    @made.get("/")
    async def page() -> Response:
        return _file("index.html")

    @made.get("/page/{name}")
    async def file(name: str) -> Response:
        return _file(name)

    return made


def _file(name: str) -> Response:
    files = _files()
    if name not in files:
        raise HTTPException(404, "the page has no such file")
    return Response(files[name], media_type=f"{_KINDS[name.rpartition('.')[2]]}; charset=utf-8", headers=_NOT_KEPT)


@cache
def _files() -> dict[str, bytes]:
    folder = resources.files("pipeline.serving").joinpath("page")
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name.rpartition(".")[2] in _KINDS}

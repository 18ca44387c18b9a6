"""Search, rows, and their images."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Response
from starlette.exceptions import HTTPException

from pipeline.errors import UsageError
from pipeline.serving import facts
from pipeline.serving.finding import Options
from pipeline.serving.finding import Term as WantedTerm
from pipeline.serving.json_values import plain
from pipeline.serving.messages import Hit, RowAnswer, SearchAnswer, SearchRequest, Uid
from pipeline.serving.service import Service

_IMAGE_TYPES: dict[str, Any] = {"image/*": {}, "application/octet-stream": {}}
_CACHED = {"Cache-Control": "private, max-age=300"}
_ORIGINAL = {"Content-Security-Policy": "default-src 'none'; sandbox"}


def router(service: Service) -> APIRouter:
    made = APIRouter(prefix="/api", tags=["rows"])

    @made.post("/search")
    async def search(asked: SearchRequest) -> SearchAnswer:
        """The rows, or photos, nearest to a sum of texts, images and rows."""
        if asked.k > service.limits.max_k:
            raise UsageError(f"k: at most {service.limits.max_k} hits are given at once; use offset for the next ones")
        terms = [WantedTerm(term.text, term.image, term.uid, term.vector, term.weight) for term in asked.terms]
        options = Options(
            k=asked.k,
            offset=asked.offset,
            where=asked.where,
            columns=tuple(asked.columns),
            distinct="image" if asked.distinct == "image" else None,
            against=asked.against,
            min_probability=asked.min_probability,
            # the terms become vectors, so the words have to be named
            words=asked.words or (asked.texts if asked.hybrid else None),
            hybrid=asked.hybrid,
            exact=asked.exact,
        )
        found = await service.finder.find(terms, options)
        hits = [
            Hit(**{**vars(hit), "captions": hit.captions, "columns": plain(dict(hit.columns))}) for hit in found.hits
        ]
        return SearchAnswer(version=found.version, hits=hits)

    @made.get("/rows/{uid}")
    async def row(uid: Uid) -> RowAnswer:
        """All columns of a row, embedded or rejected, without its vectors."""
        version, found = await service.read(lambda opened: (opened.version, facts.row(opened, uid)))
        if found is None:
            raise HTTPException(404, f"no row has the uid {uid}")
        return RowAnswer(version=version, row=found)

    @made.get("/rows/{uid}/thumbnail", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
    async def thumbnail(uid: Uid) -> Response:
        """A small JPEG of the row's image: as the table stores it, or read from the input again."""
        found = await asyncio.wrap_future(service.pictures.thumbnails.submit(uid))
        if found.jpeg is None:
            raise HTTPException(404, f"the image cannot be shown: {found.why_not}")
        return Response(found.jpeg, media_type="image/jpeg", headers=_CACHED)

    @made.get("/rows/{uid}/image", response_class=Response, responses={200: {"content": _IMAGE_TYPES}})
    async def image(uid: Uid) -> Response:
        """The bytes of the row's image file."""
        if not service.pictures.has_input:
            raise HTTPException(404, "images cannot be shown: the service was started without --input")
        found = await asyncio.wrap_future(service.pictures.originals.submit(uid))
        if found.data is None:
            raise HTTPException(404, f"the image cannot be shown: {found.why_not}")
        return Response(found.data, media_type=found.media_type, headers=_CACHED | _ORIGINAL)

    return made

"""The app that serves a table: routes, errors, limits. uvicorn runs it on one machine, Ray Serve on a cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from pipeline import __version__
from pipeline.serving import problems
from pipeline.serving.guard import Guard
from pipeline.serving.routes import cuts, operation, page, rows, table
from pipeline.serving.service import Served, Service


def create_app(served: Served) -> FastAPI:
    """Opens the table and loads the model. The app ends its threads when its server shuts it down.

    Raises:
        SiglaneError, siglip_core.SiglipError: the table, the model or the input cannot be used.
    """
    service = Service(served)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    app = FastAPI(
        title="Siglane",
        version=__version__,
        description="Searches one table of images and captions. Errors are `application/problem+json`.",
        lifespan=lifespan,
        docs_url=None,  # the pages that FastAPI has for it load scripts from elsewhere
        redoc_url=None,
        responses=problems.RESPONSES,
    )
    problems.handle(app)
    for router in (rows.router(service), table.router(service), cuts.router(service), operation.router(service)):
        app.include_router(router)
    app.include_router(page.router())
    app.add_middleware(Guard, limits=service.limits, token=service.token, metrics=service.metrics, hosts=served.hosts)
    return app

"""Health, readiness, metrics, and the cookie of the page."""

from __future__ import annotations

from fastapi import APIRouter, Response
from starlette.responses import PlainTextResponse

from pipeline.serving import problems
from pipeline.serving.guard import COOKIE
from pipeline.serving.messages import SessionRequest
from pipeline.serving.metrics import CONTENT_TYPE_LATEST
from pipeline.serving.service import Service


def router(service: Service) -> APIRouter:
    made = APIRouter(tags=["operation"])

    @made.get("/health", response_class=PlainTextResponse)
    async def health() -> str:
        """Whether the process lives."""
        return "alive\n"

    @made.get("/ready", response_class=PlainTextResponse)
    async def ready() -> str:
        """Whether the table can be read now."""
        version = await service.run(lambda: service.following.newest().version)
        return f"ready: version {version}\n"

    @made.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Metrics for Prometheus."""
        return Response(await service.run(service.metrics.text), media_type=CONTENT_TYPE_LATEST)

    @made.post("/api/session", status_code=204, response_class=Response)
    async def session(asked: SessionRequest) -> Response:
        """Gives a browser a cookie for the token: pages cannot send headers for the images that they show."""
        if service.token.is_needed and not service.token.is_right(asked.token):
            return problems.problem(401, "the token is wrong", {"WWW-Authenticate": "Bearer"})
        answer = Response(status_code=204)
        if service.token.is_needed:
            answer.set_cookie(COOKIE, asked.token, httponly=True, samesite="strict", path="/")
        return answer

    return made

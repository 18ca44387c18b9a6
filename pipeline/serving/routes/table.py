"""What the table holds: statistics, rejects, and a map."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query

from pipeline import schema
from pipeline.serving import facts, projection
from pipeline.serving.conditions import to_sql
from pipeline.serving.messages import (
    AllowedHere,
    Column,
    ColumnName,
    MapAnswer,
    Reject,
    RejectsAnswer,
    TableAnswer,
    Vector,
    Where,
    Words,
)
from pipeline.serving.service import Service
from pipeline.table import Table
from pipeline.upkeep import rejects

WORST_SOURCES = 20


def router(service: Service) -> APIRouter:
    made = APIRouter(prefix="/api", tags=["table"])

    @made.get("/table")
    async def table() -> TableAnswer:
        """Rows by status, and the columns with what a filter on them could say. At most a minute old."""
        found = await service.run(lambda: service.following.remembered("facts", facts.facts))
        identity = service.following.newest().identity
        limits = service.limits
        return TableAnswer(
            table=str(service.following.uri),
            version=found.version,
            rows=found.rows,
            by_status=found.by_status,
            fragments=found.fragments,
            model=identity.model,
            dimension=identity.dimension,
            has_model=service.tower.has_model,
            has_captions=found.has_captions,
            has_words=found.has_words,
            has_images=service.pictures.are_shown(),
            sampled=found.sampled,
            columns=[Column(**{**asdict(column), "values": list(column.values)}) for column in found.columns],
            limits=AllowedHere(
                max_k=limits.max_k,
                max_body=limits.max_body,
                max_pixels=limits.max_pixels,
                max_seconds=limits.max_seconds,
            ),
        )

    @made.get("/rejects")
    async def rejected(
        reason: Annotated[Words | None, Query(max_length=200)] = None,
        k: Annotated[int, Query(ge=1, le=1_000)] = 50,
    ) -> RejectsAnswer:
        """The rejected rows: how many for each reason, and the first of them by source and row."""

        def read(opened: Table) -> RejectsAnswer:
            everything = rejects.read_rejects(opened, [], k)
            found = everything if reason is None else rejects.read_rejects(opened, [reason], k)
            return RejectsAnswer(
                version=opened.version,
                rejected=everything.rows,
                by_reason=dict(everything.by_reason.most_common()),
                worst_sources=dict(found.by_source.most_common(WORST_SOURCES)),
                rows=[Reject(**row) for row in found.first],
            )

        return await service.run(lambda: service.following.remembered(("rejects", reason, k), read))

    @made.get("/map")
    async def picture(
        vector: Vector = "image",
        colour: ColumnName = schema.COSINE,
        points: Annotated[int, Query(ge=1, le=projection.MOST)] = 2_000,
        where: Where | None = None,
    ) -> MapAnswer:
        """A sample of the rows in two dimensions: the principal components of their vectors."""

        def read(opened: Table) -> projection.Map:
            condition = None if where is None else to_sql(where, opened.schema)
            return projection.project(opened, vector, colour, points, condition)

        found = await service.run(lambda: service.following.remembered(("map", vector, colour, points, where), read))
        return MapAnswer(**asdict(found))

    return made

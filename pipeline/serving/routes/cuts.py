"""What a cut by a score would keep, and pairs to label for it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from pipeline import labelling, schema
from pipeline.filtering.certified.labels import COLUMNS
from pipeline.serving import cutting
from pipeline.serving.conditions import to_sql
from pipeline.serving.cutting import Scored
from pipeline.serving.messages import (
    AtCutAnswer,
    ColumnName,
    CurvesAnswer,
    CutAnswer,
    DrawAnswer,
    DrawnPair,
    DrawRequest,
    Example,
    Finite,
)
from pipeline.serving.service import Service
from pipeline.table import Table


def router(service: Service) -> APIRouter:
    made = APIRouter(prefix="/api", tags=["cuts"])

    @made.get("/cut")
    async def cut(by: ColumnName = schema.COSINE) -> CutAnswer:
        """The distribution of a score, and for each cut by it an estimate of the mismatched pairs that it keeps."""
        found = await service.run(
            lambda: service.following.remembered(("scored", by), lambda opened: cutting.scored(opened, by))
        )
        return CutAnswer(
            version=found.version,
            by=found.by,
            pairs=found.pairs,
            missing=found.missing,
            edges=found.edges.tolist(),
            counts=found.counts.tolist(),
            shuffled=None if found.shuffled is None else found.shuffled.tolist(),
            curves=_curves(found),
            why_no_curves=found.why_no_curves,
            contradicted=found.contradicted,
        )

    @made.get("/cut/examples")
    async def examples(
        threshold: Annotated[Finite, Query()],
        by: ColumnName = schema.COSINE,
        count: Annotated[int, Query(ge=1, le=100)] = 12,
    ) -> AtCutAnswer:
        """How many rows a cut keeps, those nearest to it on both sides, and the command that makes it."""
        found = await service.run(lambda: cutting.at_cut(service.following, by, threshold, count))
        return AtCutAnswer(
            version=found.version,
            kept=found.kept,
            above=[Example(**row) for row in found.above],
            below=[Example(**row) for row in found.below],
            command=found.command,
        )

    @made.post("/draw")
    async def draw(asked: DrawRequest) -> DrawAnswer:
        """Pairs to label for a cut, as `siglane label` draws them. Labels of all of them certify the cut."""

        def read(opened: Table) -> labelling.Drawn:
            where = None if asked.where is None else to_sql(asked.where, opened.schema)
            return labelling.draw(opened, asked.by, where, asked.max_mismatch_fraction, asked.count, asked.seed)

        found = await service.read(read)
        return DrawAnswer(
            draw=found.record.draw,
            record=found.record.model_dump_json(),
            header=",".join(COLUMNS),
            pairs=[
                DrawnPair(uid=pair.uid, caption=pair.pair.row[schema.CAPTION], values=pair.values)
                for pair in found.pairs
            ],
            command=found.command,
        )

    return made


def _curves(found: Scored) -> CurvesAnswer | None:
    if found.curves is None:
        return None
    return CurvesAnswer(
        thresholds=found.curves.thresholds.tolist(),
        kept=found.curves.kept.tolist(),
        mismatched={name: shares.tolist() for name, shares in found.curves.mismatched.items()},
    )

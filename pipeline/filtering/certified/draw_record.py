"""What a draw of pairs has to say about itself, so that its labels are recognised: it goes into every row of labels."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from pipeline.filtering.certified.design import Design, Stratum


class DrawRecord(BaseModel):
    """How pairs were drawn, and from what."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    draw: str
    """id of the draw: a digest of the rest and of the drawn pairs"""
    table: str
    table_version: int
    weights: str
    """digest of the model whose vectors were scored"""
    by: str
    """the score"""
    where: str | None
    seed: int
    max_mismatch_fraction: float
    """the cut that the pairs were drawn for; their labels may certify others too"""
    pairs: int
    """the scored pairs that were drawn from"""
    scores: str
    """digest of their scores"""
    strata: tuple[Stratum, ...]

    @property
    def design(self) -> Design:
        return Design(self.strata)

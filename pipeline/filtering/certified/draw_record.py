"""What a draw of pairs has to say about itself, so that its labels are recognised: it goes into every row of labels."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from pydantic import BaseModel, ConfigDict

from pipeline.filtering.certified.design import Design, Stratum


class DrawRecord(BaseModel):
    """How pairs were drawn, and from what."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    draw: str = ""
    """id of the draw, by `id_of`"""
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

    def id_of(self, uids: Iterable[str]) -> str:
        """A digest of the record and of the uids of the drawn pairs."""
        content = self.model_copy(update={"draw": ""}).model_dump_json() + "".join(sorted(uids))
        return sha256(content.encode()).hexdigest()[:16]

    @property
    def design(self) -> Design:
        return Design(self.strata)

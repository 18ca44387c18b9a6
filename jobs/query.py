"""Find the images nearest to a text, an image or a row of the table; the search is exact."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from jobs import command
from jobs.command import Result
from pipeline import search
from pipeline.search import Hit


class QueryJob(BaseModel):
    """Every option of `siglane query`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str = Field(description="DATABASE/NAME of the table; add @TAG or @VERSION to read a fixed version")
    text: str | None = Field(None, description="find images that this text describes")
    image: Path | None = Field(None, description="find images similar to the one in this file")
    uid: str | None = Field(None, description="find images similar to the one of this row; includes the row itself")
    k: int = Field(search.DEFAULT_K, ge=1, description="number of rows to find")
    where: str | None = Field(None, description="SQL condition on the table's columns; only these rows are searched")
    model: str | None = Field(None, description="folder of the model, if it has moved since the table was made")

    @model_validator(mode="after")
    def _one_query(self) -> QueryJob:
        if sum(value is not None for value in (self.text, self.image, self.uid)) != 1:
            raise ValueError("give one of --text, --image and --uid")
        return self


def query(options: QueryJob) -> Result:
    searched = search.open(options.table, options.model)
    if options.text is not None:
        hits = searched.by_text(options.text, options.k, options.where)
    elif options.image is not None:
        hits = searched.by_image(options.image, options.k, options.where)
    else:
        assert options.uid is not None
        hits = searched.by_uid(options.uid, options.k, options.where)
    lines = [_line(rank, hit) for rank, hit in enumerate(hits, 1)]
    return Result(
        {"table": options.table, "results": [hit.as_dict() for hit in hits]},
        "\n".join(lines) or "nothing found",
    )


def _line(rank: int, hit: Hit) -> str:
    probability = "" if hit.probability is None else f"  probability {hit.probability:.4f}"
    return f"{rank:>3}. cosine {hit.cosine:.4f}{probability}  {hit.source}  {' '.join((hit.caption or '').split())}"


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(QueryJob, query, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())

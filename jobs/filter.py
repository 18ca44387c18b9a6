"""Keep the pairs whose score reaches a cut: Parquet files and a manifest.

Writes all of it or nothing: the output folder appears when it is complete.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from jobs import command
from jobs.command import Result
from pipeline import table
from pipeline.filtering import Selection, filter_table


class FilterJob(BaseModel):
    """Every option of `siglane filter`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str = Field(description="DATABASE/NAME of the table, with @TAG or @VERSION for a fixed state")
    output: Path = Field(description="folder to write, which must not exist yet")
    by: Literal["cosine", "logit", "probability"] = Field("cosine", description="cosine, logit or probability")
    min: float | None = Field(None, allow_inf_nan=False, description="keep pairs whose score is at least this")
    top_fraction: float | None = Field(
        None, ge=0, le=1, description="keep floor(this x scored pairs), the best; ties by uid"
    )
    where: str | None = Field(None, description="SQL over the table's columns; other rows are left out first")

    @field_validator("output", mode="before")
    @classmethod
    def _local(cls, output: object) -> object:
        if isinstance(output, str) and "://" in output:
            raise ValueError("a local folder is needed")
        return output

    @model_validator(mode="after")
    def _one_cut(self) -> FilterJob:
        if (self.min is None) == (self.top_fraction is None):
            raise ValueError("give one of --min and --top-fraction")
        return self


def filter_pairs(options: FilterJob) -> Result:
    searched = table.open_table(table.parse(options.table))
    selection = Selection(options.by, options.min, options.top_fraction, options.where)
    result = filter_table(searched, selection, options.output)
    summary = {
        "table": options.table,
        "output": str(options.output),
        "rows": result.rows,
        "scored": result.scored,
        "kept": result.kept,
        "threshold": result.threshold,
        "by": options.by,
        "mismatch_fraction": None,
    }
    text = (
        f"{options.output}: kept {result.kept} of {result.scored} scored pairs"
        + (f", {options.by} >= {result.threshold:.6g}" if result.threshold is not None else "")
        + (f"; {result.rows - result.scored} are not scored yet" if result.rows > result.scored else "")
    )
    return Result(summary, text)


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(FilterJob, filter_pairs, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())

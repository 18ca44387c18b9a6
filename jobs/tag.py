"""Label a table's images, or rate them with a linear head, from their stored vectors.

`--labels` fills the column with the most probable label, and COLUMN_probability with its probability. `--head` fills
the column with the head's output. Both fill only rows that lack a value, unless `--all` is given.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from jobs import command, progress, recorded
from jobs.command import Result
from pipeline import table
from pipeline.scoring import tagging
from pipeline.wording import counted

log = logging.getLogger(__name__)


class TagJob(BaseModel):
    """Every option of `siglane tag`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str = Field(description="DATABASE/NAME of the table")
    column: str = Field(description="column to fill; it is created if missing")
    labels: Path | None = Field(None, description="file of labels, one per line")
    template: tuple[str, ...] = Field(
        (),
        description=f"text with {{}} for the label; several are averaged; default: {tagging.DEFAULT_TEMPLATE}",
        json_schema_extra={"repeatable": True},
    )
    head: Path | None = Field(None, description=".safetensors of a linear head: weight [1, D] and bias [1]")
    model: str | None = Field(None, description="folder of the model, if it has moved since the table was made")
    all: bool = Field(False, description="fill all rows, also those that have a value")

    @model_validator(mode="after")
    def _one_kind(self) -> TagJob:
        if (self.labels is None) == (self.head is None):
            raise ValueError("give one of --labels and --head")
        if self.head is not None and (self.template or self.model):
            raise ValueError("--template and --model are only for --labels: leave them out")
        return self


@progress.shown()
@recorded.in_table("tag", itemgetter("tagged"))
def tag(options: TagJob) -> Result:
    started = time.monotonic()
    uri = table.parse_writable(options.table)
    tagger = tagging.tagger_of(uri, options.labels, options.template, options.head, options.column, options.model)
    tagged = 0
    for rows in tagging.tag_table(uri, tagger, options.all):
        tagged += rows
        log.info("committed %s, %d in this run", counted(rows, "row"), tagged)
    seconds = time.monotonic() - started
    summary = {
        "table": options.table,
        "columns": tagger.columns.names,
        "tagged": tagged,
        "seconds": round(seconds, 3),
    }
    return Result(
        summary,
        f"{options.table}: filled {', '.join(tagger.columns.names)} for {counted(tagged, 'row')} in {seconds:.1f} s",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(TagJob, tag, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())

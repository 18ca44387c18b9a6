"""Build the indexes of a table: on its vectors, with the recall measured, on its captions, and on columns."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from jobs import command, recorded
from jobs.command import Result
from pipeline import indexing, table
from pipeline.indexing import OnValues, OnVectors
from pipeline.table import IndexRecord
from pipeline.wording import counted


class IndexJob(BaseModel):
    """Every option of `siglane index`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str = Field(description="DATABASE/NAME of the table")
    recall: float = Field(
        indexing.DEFAULT_RECALL, gt=0, le=1, description="share of the nearest rows that a search must find"
    )
    kind: Literal["ivf_rq", "ivf_pq", "ivf_hnsw_sq", "ivf_flat", "none"] | None = Field(
        None, description="of the indexes on vectors; none drops them (default: ivf_rq, if exact search is too slow)"
    )
    scalar: tuple[str, ...] = Field((), description="columns that conditions (--where) use often")


@recorded.in_table("index")
def index(options: IndexJob) -> Result:
    uri = table.parse_writable(options.table)
    done = list(indexing.index_table(uri, options.recall, options.kind, options.scalar))
    summary = {"table": options.table, "indexes": [as_dict(each) for each in done]}
    return Result(
        summary, "\n".join(f"{options.table}: {as_lines(each)}" for each in done) or f"{options.table}: no rows"
    )


def as_dict(each: OnVectors | OnValues) -> dict[str, Any]:
    if isinstance(each, OnValues):
        return {"column": each.column, "kind": each.kind, "done": each.done}
    return {**record_as_dict(each.record), "done": each.done}


def as_lines(each: OnVectors | OnValues) -> str:
    if isinstance(each, OnValues):
        return f"{each.column}: {each.kind} index {each.done}"
    done = "" if each.record.kind is None else f" {each.done}"
    return record_as_lines(each.record, done)


def record_as_dict(record: IndexRecord) -> dict[str, Any]:
    return {
        "column": record.column,
        "kind": record.kind,
        "why": record.why,
        "version": record.version,
        "rows": record.rows,
        "wanted_recall": record.wanted_recall,
        "reached": record.reached,
        "searches": [
            {"query": kind, "hits": hits, "recall": how.recall, "probes": how.probes, "refine": how.refine}
            for kind, by_hits in record.asked.items()
            for hits, how in sorted(by_hits.items())
        ],
    }


def record_as_lines(record: IndexRecord, done: str = "") -> str:
    """What an index is and finds, for people; further lines are indented."""
    if record.kind is None:
        return f"{record.column}: no index, searched exactly ({record.why})"
    measured = [
        f"{kind} queries find "
        + ", ".join(f"{how.recall:.3f} of the nearest {hits}" for hits, how in sorted(by_hits.items()))
        for kind, by_hits in record.asked.items()
    ]
    short = [] if record.reached else [f"this does not surely reach the recall of {record.wanted_recall}"]
    built = f"{record.column}: {record.kind} index{done} ({record.why}), {counted(record.rows, 'row')}"
    return "\n    ".join(["; ".join([built, *measured[:1]]), *measured[1:], *short])


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(IndexJob, index, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())

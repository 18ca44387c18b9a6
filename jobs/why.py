"""Show where a pair came from, and why a filter kept or dropped it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from jobs import command
from jobs.command import Result
from pipeline import table
from pipeline.filtering import Judged, finite, why


class WhyJob(BaseModel):
    """Every option of `siglane why`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str = Field(description="DATABASE/NAME of the table; add @TAG or @VERSION to read a fixed version")
    uid: str = Field(description="the pair's uid")
    manifest: Path | None = Field(
        None, description="output folder of a filter, or its manifest.json; reads the table version that was filtered"
    )


def explain(options: WhyJob) -> Result:
    judged = why(table.parse(options.table), options.uid, options.manifest)
    results = [{**row.pop("row"), **row} for row in map(asdict, judged)]
    return Result({"table": options.table, "results": finite(results)}, "\n".join(_lines(judged)))


def _lines(judged: Sequence[Judged]) -> Iterator[str]:
    for pair in judged:
        row = pair.row
        yield f"{row['uid']}  {row['source']} row {row['source_row']}, key {row['key']}: {row['status']}"
        if row["reason"] is not None:
            yield f"  {row['stage']}: {row['reason']}: {row['error_message']}"
        if row["caption"] is not None:
            yield f"  caption {row['caption']!r}"
        if row["cosine"] is not None:
            yield f"  cosine {row['cosine']:.6g}, logit {row['logit']:.6g}, probability {row['probability']:.6g}"
        if row.get("duplicate_of") is not None:
            yield f"  duplicate of {row['duplicate_of']} ({row['duplicate_method']})"
        if pair.kept is not None:
            yield f"  {'kept' if pair.kept else 'dropped'}: {pair.because}"
        for cut in pair.cuts:
            yield f"    {cut.rule or 'the only cut'} {'passed' if cut.passed else 'failed'}: {cut.because}"


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(WhyJob, explain, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())

"""Write one HTML page about a table: counts, score distributions, the cut with its error rate, and example pairs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import Field, field_validator, model_validator

from jobs import command, shown_input
from jobs.command import Result
from jobs.output import require_folder, write_whole
from pipeline import schema, table
from pipeline.sources import InputOptions, SourceOptions
from pipeline.wording import counted


class ReportJob(InputOptions):
    """Every option of `siglane report`."""

    table: str = Field(description="DATABASE/NAME of the table; add @TAG or @VERSION to read a fixed version")
    output: Path = Field(description="FILE.html to write: one self-contained page")
    threshold_from: Path | None = Field(
        None,
        description="manifest of a filter whose cut or rule to show; default: the cut for 5 % mismatched pairs",
    )
    cost_per_hour: float | None = Field(
        None,
        ge=0,
        allow_inf_nan=False,
        description="price per hour of all machines of a run together, to show what the runs cost",
    )
    input: tuple[str, ...] = Field(
        (),
        description="input that the table was made from, to show images",
        json_schema_extra={"repeatable": True},
    )

    @field_validator("output")
    @classmethod
    def _page(cls, output: Path) -> Path:
        if output.suffix.lower() != ".html":
            raise ValueError("the name must end in .html")
        return output

    @model_validator(mode="after")
    def _nothing_without_use(self) -> ReportJob:
        shown_input.require_use(self)
        return self


def report(options: ReportJob) -> Result:
    require_folder(options.output)

    from pipeline import report as reports

    opened = table.open_table(table.parse(options.table))
    source = SourceOptions.part_of(options) if options.input else None
    contents = reports.gather(opened, options.threshold_from, source, options.cost_per_hour)
    page = reports.to_html(contents).encode()
    write_whole(options.output, page)
    chosen, found, at = contents.chosen, contents.evidence, contents.at_cut
    summary = {
        "table": options.table,
        "output": str(options.output),
        "version": opened.version,
        "embedded": contents.count(schema.SUCCESS),
        "rejected": contents.count(schema.REJECTED),
        "reject_examples": {str(reason): message for (_, reason), message in contents.reject_examples.items()},
        "scored": chosen.scored,
        "by": chosen.selection.by,
        "kept": None if chosen.why_not else chosen.kept,
        "mismatch_fraction": None if at is None else at.mismatch_fraction,
        "assumes": None if at is None else at.assumes,
        "mismatch_upper_any": None if at is None else at.mismatched["any"],
        "contradicted": None if found.curves is None else found.contradicted is not None,
        "certified": None if chosen.certified is None else asdict(chosen.certified),
        "cannot_tell": found.why_no_curve or chosen.why_not,
        "bytes": len(page),
    }
    if chosen.scored is None:
        cut = f"the rule keeps {chosen.kept} of {counted(chosen.rows, 'pair')}"
    elif chosen.why_not is None:
        cut = f"{counted(chosen.scored, 'scored pair')}; the cut keeps {chosen.kept}"
    else:
        cut = f"{counted(chosen.scored, 'scored pair')}; no cut, because {chosen.why_not}"
    return Result(summary, f"{options.output}: {cut}; {len(page) / 1e6:.1f} MB")


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(ReportJob, report, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())

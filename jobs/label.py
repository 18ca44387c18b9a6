"""Draw pairs for a person to label, and write one page to label them on: the labels certify a cut."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, model_validator

from jobs import command, shown_input
from jobs.command import Result
from pipeline import table
from pipeline.errors import InputError, UsageError
from pipeline.sources import InputOptions, SourceOptions
from pipeline.wording import counted


class LabelJob(InputOptions):
    """Every option of `siglane label`."""

    table: str = Field(description="DATABASE/NAME of the table; add @TAG or @VERSION to read a fixed version")
    output: Path = Field(description="folder to write: label.html and draw.json; it must be empty or not exist")
    count: int = Field(200, ge=1, description="number of pairs to label")
    by: str = Field("cosine", description="column to cut by: cosine, logit, probability, or any column of numbers")
    where: str | None = Field(None, description="SQL condition on the table's columns; other rows are not drawn")
    max_mismatch_fraction: float = Field(
        0.05, gt=0, lt=1, description="the cut that is wanted: at most this share of the kept pairs is mismatched"
    )
    seed: int = Field(0, ge=0, description="seed of the draw; with a larger --count it draws the same pairs and more")
    input: tuple[str, ...] = Field(
        (),
        description="input that the table was made from, to show images; not needed if the table stores thumbnails of "
        "384 pixels or more",
        json_schema_extra={"repeatable": True},
    )

    @model_validator(mode="after")
    def _nothing_without_use(self) -> LabelJob:
        shown_input.require_use(self)
        return self


def label(options: LabelJob) -> Result:
    from pipeline import labelling
    from pipeline.report import thumbnails

    labelling.require_place(options.output)
    opened = table.open_table(table.parse(options.table))
    if not (options.input or thumbnails.stored_columns(opened, labelling.SIDE)):
        raise UsageError(
            f"table {opened.uri}: it stores no thumbnails of {labelling.SIDE} pixels or more, so the page needs the "
            "--input that the table was made from"
        )
    drawn = labelling.draw(
        opened, options.by, options.where, options.max_mismatch_fraction, options.count, options.seed
    )
    source = SourceOptions.part_of(options) if options.input else None
    images = thumbnails.read(source, [pair.pair for pair in drawn.pairs], labelling.SIDE)
    if all(image.jpeg is None for image in images.values()):
        why = next(iter(images.values())).why_not
        where = f"--input {' '.join(options.input)}" if options.input else f"table {opened.uri}"
        raise InputError(f"{where}: no image of the drawn pairs can be shown: {why}; check --input")
    page = labelling.to_html(drawn, images)
    labelling.write(options.output, drawn, page)
    record, missing = drawn.record, sum(image.jpeg is None for image in images.values())
    summary = {
        "table": options.table,
        "output": str(options.output),
        "version": opened.version,
        "by": options.by,
        "draw": record.draw,
        "scored": record.pairs,
        "drawn": len(drawn.pairs),
        "without_image": missing,
        "strata": [{"lowest": s.lowest, "pairs": s.pairs, "drawn": s.drawn} for s in record.strata],
        "bytes": len(page.encode()),
    }
    text = f"{options.output / labelling.PAGE}: {len(drawn.pairs)} of {counted(record.pairs, 'scored pair')} to label"
    text += f"; {counted(missing, 'image')} cannot be shown" if missing else ""
    return Result(summary, f"{text}; {len(page.encode()) / 1e6:.1f} MB; open it in a browser and save labels.csv")


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(LabelJob, label, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())

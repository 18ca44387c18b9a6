"""Keep the pairs whose score reaches a cut: Parquet, WebDataset or DataComp's uids, and a manifest.

Writes all of it or nothing: the output folder appears when it is complete.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from jobs import command
from jobs.command import Result
from pipeline import table
from pipeline.errors import UsageError
from pipeline.filtering import (
    Filtered,
    FilteredCut,
    Output,
    ParquetWithImages,
    Rule,
    Selection,
    WebDataset,
    filter_table,
    read_rule,
    rule_of,
)
from pipeline.filtering.outputs import datacomp, parquet
from pipeline.sources import SourceOptions

_OF_WEBDATASET = ("shard_size", "shuffle_seed")
_OF_INPUT = ("input_format", "image_col", "url_col", "caption_col", "allow_uri")
_CUTS = ("min", "top_fraction", "max_mismatch_fraction", "threshold_from", "rule")


class FilterJob(BaseModel):
    """Every option of `siglane filter`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str = Field(description="DATABASE/NAME of the table, with @TAG or @VERSION for a fixed state")
    output: Path = Field(description="folder to write, which must not exist yet")
    output_format: Literal["parquet", "webdataset", "datacomp"] = Field(
        "parquet", description="parquet, webdataset: the original images in tars, or datacomp: sorted uids and metadata"
    )
    by: str = Field("cosine", description="cosine, logit, probability, or any column of numbers")
    min: float | None = Field(None, allow_inf_nan=False, description="keep pairs whose score is at least this")
    top_fraction: float | None = Field(
        None, ge=0, le=1, description="keep floor(this x scored pairs), the best; ties by uid"
    )
    max_mismatch_fraction: float | None = Field(
        None, gt=0, lt=1, description="keep as many as can be while at most this share is estimated to be mismatched"
    )
    threshold_from: Path | None = Field(
        None, description="manifest of an earlier filter, whose thresholds to use, or whose rule with its thresholds"
    )
    rule: Path | None = Field(
        None, description="YAML file of several cuts, of which all or any must hold; without --by"
    )
    where: str | None = Field(None, description="SQL over the table's columns; other rows are left out first")
    per: str | None = Field(None, description="column, for each value of which there is a cut of its own")
    seed: int = Field(0, ge=0, description="of the samples and shuffles that the mismatch fraction is estimated from")
    with_images: bool = Field(False, description="for parquet: the original images too, as the column image")
    input: tuple[str, ...] = Field(
        (),
        description="for images: the input that the table was made from",
        json_schema_extra={"repeatable": True},
    )
    input_format: str | None = Field(None, description="of --input, as for embed")
    image_col: str | None = Field(None, description="of --input, as for embed")
    url_col: str | None = Field(None, description="of --input, as for embed")
    caption_col: str | None = Field(None, description="of --input, as for embed")
    allow_uri: tuple[str, ...] = Field(
        (), description="of --input, as for embed", json_schema_extra={"repeatable": True}
    )
    shard_size: int = Field(10_000, ge=1, description="for webdataset: samples in a tar")
    shuffle_seed: int | None = Field(
        None, ge=0, description="for webdataset: shuffle the samples; without it they are in the order of the input"
    )
    flag: str | None = Field(None, description="column of the table to fill with the verdict: true for kept rows")
    tag: bool = Field(True, description="name the state that was filtered in the table, so that cleanup keeps it")

    @field_validator("output", mode="before")
    @classmethod
    def _local(cls, output: object) -> object:
        if isinstance(output, str) and "://" in output:
            raise ValueError("a local folder is needed")
        return output

    @field_validator("input", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _input_for_images(self) -> FilterJob:
        if self.with_images and self.output_format != "parquet":
            raise ValueError("--with-images is for --output-format parquet alone: leave it out")
        reads_images = self.with_images or self.output_format == "webdataset"
        if reads_images and not self.input:
            raise ValueError("images are read again: give --input, as the table was made from it")
        if self.input and not reads_images:
            raise ValueError("--input is for --with-images and --output-format webdataset: leave it out")
        return self

    @model_validator(mode="after")
    def _nothing_without_use(self) -> FilterJob:
        if self.output_format != "webdataset":
            self._refuse(_OF_WEBDATASET, "for --output-format webdataset alone")
        if not self.input:
            self._refuse(_OF_INPUT, "of --input")
        return self

    def _refuse(self, names: Sequence[str], what: str) -> None:
        # by value, so that what --print-config prints is taken again
        given = [name for name in names if getattr(self, name) != type(self).model_fields[name].default]
        if given:
            flags = ", ".join(_flag(name) for name in given)
            are, them = ("is", "it") if len(given) == 1 else ("are", "them")
            raise ValueError(f"{flags} {are} {what}: leave {them} out")

    @model_validator(mode="after")
    def _one_cut(self) -> FilterJob:
        if sum(getattr(self, name) is not None for name in _CUTS) != 1:
            flags = [_flag(name) for name in _CUTS]
            raise ValueError(f"give one of {', '.join(flags[:-1])} and {flags[-1]}")
        if self.rule is not None:
            self._refuse(["by"], "in the file of --rule")
        return self


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def filter_pairs(options: FilterJob) -> Result:
    rule = _rule(options)
    searched = table.open_table(table.parse(options.table))
    selection = Selection(
        by=None if rule is not None else options.by,
        minimum=options.min,
        top_fraction=options.top_fraction,
        max_mismatch_fraction=options.max_mismatch_fraction,
        threshold_from=options.threshold_from,
        where=options.where,
        per=options.per,
        seed=options.seed,
        rule=rule,
    )
    result = filter_table(searched, selection, options.output, _form(options), options.tag, options.flag)
    summary = {
        "table": options.table,
        "output": str(options.output),
        "rows": result.rows,
        "scored": result.scored,
        "kept": result.kept,
        "threshold": result.threshold,
        "by": selection.by,
        "mismatch_fraction": result.mismatch_fraction,
        "mismatch_interval": result.mismatch_interval,
        "tag": result.tag,
        "groups": [asdict(group) for group in result.groups],
    }
    return Result(summary, "\n".join(_lines(options, result)))


def _rule(options: FilterJob) -> Rule | None:
    if options.rule is not None:
        return read_rule(options.rule)
    if options.threshold_from is None:
        return None
    rule = rule_of(options.threshold_from)
    if rule is not None and options.by != FilterJob.model_fields["by"].default:
        raise UsageError(f"threshold_from {options.threshold_from}: was cut by a rule; leave out --by {options.by}")
    return rule


def _form(options: FilterJob) -> Output:
    if options.output_format == "datacomp":
        return datacomp
    if not options.input:
        return parquet
    source = SourceOptions.model_validate(options.model_dump(include=set(SourceOptions.model_fields)))
    if options.output_format == "parquet":
        return ParquetWithImages(source)
    return WebDataset(source, options.shard_size, options.shuffle_seed)


def _lines(options: FilterJob, result: Filtered) -> Iterator[str]:
    if result.scored is None:
        yield f"{options.output}: kept {result.kept} of {result.rows} pairs"
    else:
        unscored = result.rows - result.scored
        yield (
            f"{options.output}: kept {result.kept} of {result.scored} scored pairs"
            + (f", {options.by} >= {result.threshold:.6g}" if result.threshold is not None else "")
            + (f"; {unscored} are not scored yet" if unscored else "")
        )
    if result.mismatch_fraction is not None and result.mismatch_interval is not None:
        low, high = result.mismatch_interval
        yield (
            f"of the kept pairs {result.mismatch_fraction:.2%} are estimated to be mismatched "
            f"({low:.2%} to {high:.2%}); captions that are nearly right are not among these"
        )
    for group in result.groups:
        if options.per is not None:
            cut = "" if group.threshold is None else f", {options.by} >= {group.threshold:.6g}"
            of = group.rows if group.scored is None else group.scored
            yield f"  {options.per} {group.value!r}: kept {group.kept} of {of}{cut}"
        yield from map(_line, group.cuts)


def _line(cut: FilteredCut) -> str:
    sign = "<=" if cut.at_most else ">="
    limit = "nothing" if cut.threshold is None else f"{cut.by} {sign} {cut.threshold:.6g}"
    return f"  {cut.rule or 'the only cut'}: {limit}: {cut.passed} of {cut.scored} scored pairs"


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(FilterJob, filter_pairs, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())

"""Keep the pairs whose score reaches a cut, and write them in the chosen format with a manifest.

The output folder appears only when it is complete.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from jobs import command, filter_lines, progress, recorded
from jobs.command import Result
from pipeline import processes, table
from pipeline.errors import UsageError
from pipeline.filtering import (
    Output,
    Selection,
    cuts,
    filter_table,
    one_cut,
    outputs,
    read_rule,
    rule_of,
    written_as,
)
from pipeline.filtering.certified.cut import Unsure
from pipeline.filtering.found_fields import with_fields
from pipeline.filtering.outputs import DEFAULT
from pipeline.mismatch.estimate import Assumption
from pipeline.sources import InputOptions, SourceOptions

_LIMITS = {name: kind.HELP for name, kind in cuts().items() if kind.HELP is not None}
_CUTS = (*_LIMITS, "rule")


def _of_cuts() -> dict[str, Any]:
    """The options that choose the cut."""
    return {name: (cuts()[name].VALUE | None, Field(None, description=text)) for name, text in _LIMITS.items()}


def _of_outputs() -> dict[str, Any]:
    """The options of every output format, and `output_format` itself with its choices."""
    choices = "; ".join(f"{name}: {module.HELP}" for name, module in outputs().items())
    fields: dict[str, Any] = {"output_format": (Literal[tuple(outputs())], Field(DEFAULT, description=choices))}
    for option, owners in _owners().items():
        field = copy(outputs()[owners[0]].Options.model_fields[option])
        field.description = f"for {' and '.join(owners)}: {field.description}"
        fields[option] = (field.annotation, field)
    return fields


def _owners() -> dict[str, list[str]]:
    """The options that only some formats have, each with its formats."""
    owners: dict[str, list[str]] = {}
    for name, module in outputs().items():
        for option in module.Options.model_fields:
            owners.setdefault(option, []).append(name)
    return owners


@with_fields(_of_cuts() | _of_outputs())
class FilterJob(InputOptions):
    """Every option of `siglane filter`."""

    table: str = Field(description="DATABASE/NAME of the table; add @TAG or @VERSION to read a fixed version")
    output: Path = Field(description="folder to create; its manifest comes into OUTPUT.siglane beside it")
    overwrite: bool = Field(False, description="replace the output of an earlier filter, once the new one is complete")
    output_format: str = DEFAULT
    by: str = Field("cosine", description="column to cut by: cosine, logit, probability, or any column of numbers")
    rule: Path | None = Field(
        None, description="YAML file that combines several cuts: all or any must pass; replaces --by"
    )
    where: str | None = Field(None, description="SQL condition on the table's columns; other rows are ignored")
    per: str | None = Field(None, description="column; the rows of each of its values are cut separately")
    wrong_captions: Assumption = Field(
        "random",
        description="how wrong captions come about, for --max-mismatch-fraction: captions of random other images, of "
        "similar images, or any of both (cuts by a bound)",
    )
    seed: int = Field(0, ge=0, description="seed of the samples and decoys that estimate the mismatch fraction")
    labels: Path | None = Field(
        None, description="labels.csv of siglane label: certify the cut of --max-mismatch-fraction with these labels"
    )
    unsure: Unsure = Field(
        "wrong", description="what the label unsure counts as; left-out: as often wrong as the other labels"
    )
    flag: str | None = Field(None, description="column of the table to set to true for kept rows, else to false")
    tag: bool = Field(True, description="tag the filtered version of the table, so that cleanup keeps it")
    input: tuple[str, ...] = Field(
        (),
        description="input that the table was made from; needed where the output reads images",
        json_schema_extra={"repeatable": True},
    )

    @field_validator("output", mode="before")
    @classmethod
    def _local(cls, output: object) -> object:
        if isinstance(output, str) and "://" in output:
            raise ValueError("must be a local folder")
        return output

    @property
    def of_output(self) -> dict[str, Any]:
        """The chosen format's own options."""
        return {option: getattr(self, option) for option in outputs()[self.output_format].Options.model_fields}

    @model_validator(mode="after")
    def _nothing_for_other_formats(self) -> FilterJob:
        others = {option: owners for option, owners in _owners().items() if self.output_format not in owners}
        for owners in others.values():
            theirs = [option for option in others if others[option] == owners]
            self._refuse(theirs, f"only for --output-format {' or '.join(owners)}")
        return self

    @model_validator(mode="after")
    def _input_for_images(self) -> FilterJob:
        chosen = outputs()[self.output_format]
        reads_images = chosen.reads_images(chosen.Options(**self.of_output))
        if reads_images and not self.input:
            raise ValueError("this output reads images: give --input, the input that the table was made from")
        if self.input and not reads_images:
            raise ValueError(f"--input is only for {' and '.join(_reading_images())}: leave it out")
        if not self.input:
            self._refuse([name for name in InputOptions.model_fields if name != "input"], "only for use with --input")
        return self

    def _refuse(self, names: Sequence[str], what: str) -> None:
        # Compares values, so that the output of --print-config, which contains every default, is accepted.
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
            self._refuse(["by"], "set by the file of --rule")
        return self

    @model_validator(mode="after")
    def _assumption_for_an_estimate(self) -> FilterJob:
        limits = (getattr(self, "max_mismatch_fraction", None), self.rule, getattr(self, "threshold_from", None))
        if self.labels is not None or limits == (None, None, None):
            self._refuse(["wrong_captions"], "only for --max-mismatch-fraction without --labels, or a rule with it")
        return self

    @model_validator(mode="after")
    def _labels_for_one_cut(self) -> FilterJob:
        if self.labels is None:
            self._refuse(["unsure"], "only for use with --labels")
        elif getattr(self, "max_mismatch_fraction", None) is None:
            raise ValueError("--labels certify the cut of --max-mismatch-fraction: give it too, or leave --labels out")
        elif self.per is not None:
            raise ValueError("--labels certify one cut of all pairs: leave --per out, or choose a group with --where")
        return self


def _reading_images() -> Iterator[str]:
    """The formats that read images, and the switches of other formats that make them do so."""
    for name, module in outputs().items():
        if module.reads_images(module.Options()):
            yield f"--output-format {name}"
            continue
        switches = [option for option, field in module.Options.model_fields.items() if field.annotation is bool]
        for option in switches:
            if module.reads_images(module.Options(**{option: True})):
                yield _flag(option)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


@progress.shown()
@recorded.in_table("filter", when=lambda options: options.flag is not None)
def filter_pairs(options: FilterJob) -> Result:
    processes.keep_freed_memory()  # each group of rows or images gets the memory of the last
    selection = _selection(options)
    searched = table.open_table(table.parse(options.table))
    result = filter_table(
        searched, selection, options.output, _output(options), options.tag, options.flag, options.overwrite
    )
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
        "assumes": result.assumes,
        "mismatch_upper_any": result.mismatch_upper_any,
        "contradicted": result.contradicted,
        "certified": result.certified,
        "tag": result.tag,
        "groups": [asdict(group) for group in result.groups],
    }
    return Result(summary, "\n".join(filter_lines.lines(result, options.output, options.by, options.per)))


def _selection(options: FilterJob) -> Selection:
    given = {name: value for name in _LIMITS if (value := getattr(options, name)) is not None}
    rule = None if options.rule is None else read_rule(options.rule)
    manifest = given.get("threshold_from")
    if manifest is not None:
        rule = rule_of(manifest)
        if rule is not None and options.by != FilterJob.model_fields["by"].default:
            raise UsageError(f"threshold_from {manifest}: this filter used a rule; leave out --by {options.by}")
    return Selection(
        cut=one_cut(options.by, **given) if rule is None else None,
        rule=rule,
        earlier=manifest if rule is not None else None,
        where=options.where,
        per=options.per,
        seed=options.seed,
        wrong_captions=options.wrong_captions,
        labels=options.labels,
        unsure=options.unsure,
    )


def _output(options: FilterJob) -> Output:
    source = SourceOptions.part_of(options) if options.input else None
    return written_as(options.output_format, source, **options.of_output)


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(FilterJob, filter_pairs, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())

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

from jobs import command, progress
from jobs.command import Result
from pipeline import processes, table
from pipeline.errors import UsageError
from pipeline.filtering import (
    Filtered,
    FilteredCut,
    FilteredGroup,
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
from pipeline.filtering.certified.certificate import Certificate
from pipeline.filtering.certified.cut import Unsure
from pipeline.filtering.found_fields import with_fields
from pipeline.filtering.outputs import DEFAULT
from pipeline.mismatch.estimate import CONTRADICTIONS, MIN_PAIRS, Assumption
from pipeline.sources import InputOptions, SourceOptions

_LIMITS = {name: kind.HELP for name, kind in cuts().items() if kind.HELP is not None}
_CUTS = (*_LIMITS, "rule")
_NOT_COUNTED = "captions that are nearly right are not counted"
_OF = {"random": "random other", "similar": "similar"}
_MANY_GENERIC = 0.01


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
    return Result(summary, "\n".join(_lines(options, result)))


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


def _lines(options: FilterJob, result: Filtered) -> Iterator[str]:
    yield from _contradiction(result)
    if result.scored is None:
        yield f"{options.output}: kept {result.kept} of {result.rows} pairs"
    else:
        unscored = result.rows - result.scored
        yield (
            f"{options.output}: kept {result.kept} of {result.scored} scored pairs"
            + (_limit(options, result.groups[0]) if len(result.groups) == 1 else "")
            + (f"; {unscored} pairs have no score" if unscored else "")
        )
    yield from _estimate_lines(result)
    if result.fit is not None:
        yield f"these q-values were estimated {result.fit.how}"
    if result.certified is not None:
        yield from _certificate(Certificate(**result.certified))
    for group in result.groups:
        if options.per is not None:
            of = group.rows if group.scored is None else group.scored
            yield f"  {options.per} {group.value!r}: kept {group.kept} of {of}{_limit(options, group)}"
        if result.scored is None:
            yield from map(_line, group.cuts)


def _contradiction(result: Filtered) -> Iterator[str]:
    assumes = result.assumes if result.fit is None else result.fit.how.assumes
    if result.contradicted and assumes is not None:
        yield CONTRADICTIONS[assumes]


def _estimate_lines(result: Filtered) -> Iterator[str]:
    said, interval, upper = result.mismatch_fraction, result.mismatch_interval, result.mismatch_upper_any
    if said is None or interval is None or upper is None:
        return
    pooled = [group for group in result.groups if group.estimate is not None and group.estimate["groups"] > 1]
    if pooled:
        yield f"{len(pooled)} groups with fewer than {MIN_PAIRS} pairs have one cut together"
    if result.assumes == "any":
        yield (
            f"at most {said:.2%} of the kept pairs are mismatched, with captions of random or of similar images; "
            f"{_NOT_COUNTED}"
        )
    else:
        of = _OF[result.assumes or "random"]
        most = f"at most {upper:.2%} if they are of both kinds" if upper < 1 else "of both kinds, nobody can tell"
        yield (
            f"an estimated {said:.2%} of the kept pairs are mismatched ({interval[0]:.2%} to {interval[1]:.2%}) if "
            f"wrong captions are those of {of} images, {most}; {_NOT_COUNTED}"
        )
    generic = max(group.estimate["generic_captions"] for group in result.groups if group.estimate is not None)
    if generic >= _MANY_GENERIC:
        yield (
            f"about {generic:.1%} of the captions score nearly as high with any image, as 'image for sale' does; wrong "
            "ones among them are counted"
        )


def _certificate(found: Certificate) -> Iterator[str]:
    meaning = "counted as wrong" if found.unsure_as == "wrong" else "taken to be wrong as often as the others"
    yield (
        f"certified with {found.confidence:.0%} confidence: at most {found.fraction:.2%} of the kept pairs are "
        f"mismatched ({found.labels} of them are labelled: {found.wrong} wrong, {found.unsure} unsure"
        + (f", {meaning})" if found.unsure else ")")
    )
    if found.assumes is not None:
        yield f"this assumes that {found.assumes}: no draw of `siglane label` shows it"


def _limit(options: FilterJob, group: FilteredGroup) -> str:
    """The threshold of a single cut; empty with a rule, or where no pair is kept."""
    if group.threshold is None:
        return ""
    sign = "<=" if group.made[0].at_most else ">="
    return f", {options.by} {sign} {group.threshold:.6g}"


def _line(cut: FilteredCut) -> str:
    sign = "<=" if cut.at_most else ">="
    limit = "keeps nothing" if cut.threshold is None else f"{cut.by} {sign} {cut.threshold:.6g}"
    return f"  {cut.rule or 'the only cut'}: {limit}: {cut.passed} of {cut.scored} scored pairs pass"


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(FilterJob, filter_pairs, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())

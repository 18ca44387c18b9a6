"""Runs a deduplication, from its options to its marks."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from pipeline import schema, table
from pipeline.dedup import exact, hashes, marks, perceptual, semantic
from pipeline.dedup.compared_rows import ComparedRows, Indices, Order, in_order, load
from pipeline.errors import IdentityError, TableError
from pipeline.progress import current
from pipeline.sources import InputOptions, SourceOptions
from pipeline.table import Table, TableUri

Method = Literal["exact", "perceptual", "semantic"]

_FEATURE = {"exact": schema.IMAGE_SHA256, "perceptual": schema.IMAGE_HASH, "semantic": schema.IMAGE_VECTOR}


class DedupOptions(InputOptions):
    """Options of a deduplication. The input options are those of the run that made the table."""

    table: str = Field(description="DATABASE/NAME of the table")
    method: Method = Field(
        description="exact: equal bytes; perceptual: hashes differ in a few bits; semantic: nearly equal vectors"
    )
    distance: int = Field(8, ge=0, le=15, description="for perceptual: the most bits, of 128, that may differ")
    eps: float = Field(0.01, gt=0, lt=1, description="for semantic: the cosine is at least 1 - this")
    only_new: bool = Field(False, description="judge only rows that this comparison has not judged yet, against all")
    against: str | None = Field(
        None,
        description="another table, e.g. an evaluation set: mark rows that it also has; compare with nothing else",
    )
    reset: bool = Field(False, description="first clear all marks of earlier runs, of every method")
    input: tuple[str, ...] = Field(
        (),
        description="for perceptual: the input that the table was made from, to hash its images",
        json_schema_extra={"repeatable": True},
    )

    @model_validator(mode="after")
    def _nothing_without_use(self) -> DedupOptions:
        for name, method in (("input", "perceptual"), ("distance", "perceptual"), ("eps", "semantic")):
            # compared by value, so that the output of --print-config is accepted as a config
            is_given = getattr(self, name) != type(self).model_fields[name].default
            if is_given and self.method != method:
                raise ValueError(f"--{name} is only for --method {method}: leave it out")
        return self


@dataclass(frozen=True)
class Deduplicated:
    rows: int
    """rows that were judged"""
    groups: int
    """kept rows for which this run found a duplicate; rows of another table included"""
    duplicates: int
    """rows that this run marked"""
    marked_before: int
    """rows that were skipped because earlier runs had marked them"""
    hashed: int
    """images that were read and hashed"""


def dedup_table(options: DedupOptions) -> Deduplicated:
    """Marks the duplicates in a table.

    The row with the smallest uid of each group is kept; with `only_new`, rows judged before come first. Marks
    accumulate: a marked row stays marked, and later comparisons skip it.

    Raises:
        TableError: there is no such table, or it lacks the values to compare.
        IdentityError: the other table's vectors were made by another model.
        InputError: images to hash are not in the input.
    """
    uri = table.parse_writable(options.table)
    opened = table.open_table(uri)
    other = None if options.against is None else _other(opened, table.parse(options.against), options.method)
    marks.prepare(uri)
    if options.reset:
        marks.clear(uri)
    source = SourceOptions.part_of(options) if options.input else None
    hashed = hashes.fill_hashes(uri, source) if options.method == "perceptual" else 0
    check = _check(options.method, other)
    rows = load(table.open_table(uri), _FEATURE[options.method], check)
    order = in_order(rows, other, options.only_new)
    kept = _find(order, options)
    marks.write(order, kept, options.method, check)
    found = kept[kept >= 0]
    return Deduplicated(len(order.places) - order.fixed, len(np.unique(found)), len(found), rows.marked, hashed)


def _check(method: Method, other: ComparedRows | None) -> str:
    """This comparison's entry in `dedup_judged`. For another table: its name, and a hash of its address and version."""
    if other is None:
        return method
    against = f"{other.table.uri.dataset}@{other.table.version}"
    digest = blake2b(against.encode(), digest_size=4).hexdigest()  # not the address itself: commas separate entries
    return f"{method}@{other.table.uri.name}-{digest}"


def _find(order: Order, options: DedupOptions) -> Indices:
    current.begin("comparing rows")
    if options.method == "exact":
        return exact.find(order)
    if options.method == "perceptual":
        return perceptual.find(order, options.distance)
    return semantic.find(order, options.eps)


def _other(opened: Table, uri: TableUri, method: Method) -> ComparedRows:
    """Every embedded row of another table, marked rows included."""
    other = table.open_table(uri)
    if other.uri.dataset == opened.uri.dataset:
        raise TableError(
            f"table {uri}: --against names the table itself; leave out --against to compare its rows with each other"
        )
    if method == "semantic":
        for name, theirs, ours in other.identity.differences(opened.identity):
            raise IdentityError(
                f"table {uri}: its vectors were made with {name} {theirs}, but those of {opened.uri} with {ours}; "
                "embed one of the tables with the model of the other"
            )
    if method == "perceptual" and (schema.IMAGE_HASH not in other.schema.names or other.count(hashes.MISSING)):
        raise TableError(
            f"table {uri}: some images have no perceptual hash; first run `siglane dedup --method perceptual --table "
            f"{uri} --input …`"
        )
    return load(other, _FEATURE[method], "", also_marked=True)

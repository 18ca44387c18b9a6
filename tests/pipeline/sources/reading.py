"""Reading an input through the functions of its format, without decoding or embedding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline import sources
from pipeline.sample import Chunk, Sample
from pipeline.sources import SourceOptions


def planned(**options: Any) -> tuple[Sequence[Chunk], SourceOptions]:
    parsed = SourceOptions.model_validate(options | {"input": str(options["input"])})
    name, listing = sources.resolve(parsed)
    return sources.formats()[name].plan(listing, parsed), parsed


def read_all(**options: Any) -> list[Sample]:
    chunks, parsed = planned(**options)
    known = sources.formats()[sources.resolve(parsed)[0]]
    return [sample for chunk in chunks for sample in known.read(chunk, parsed)]


def reasons(samples: Sequence[Sample]) -> list[str | None]:
    return [sample.reject and sample.reject.reason for sample in samples]

"""List the known models: their sizes and cost, and whether their files are on this machine.

Needs no network and reads no weights. A missing model is downloaded when a command first uses it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from jobs import command
from jobs.command import Result
from siglip_core import Spec, names
from siglip_core.variants import PUBLISHED

_HEADINGS = ("model", "parameters", "input", "text", "dim", "GFLOPs/image", "on this machine")


class ModelsJob(BaseModel):
    """`siglane models` has no options of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def models(options: ModelsJob) -> Result:  # noqa: ARG001 - every command's work takes its options
    bundled = [names.describe(config.parent.name, "exact") for config in sorted(names.BUNDLED.glob("*/config.json"))]
    listed = [(spec, names.cached(spec.name)) for spec in (*bundled, *PUBLISHED.values())]
    here = sum(path is not None for _, path in listed)
    text = (
        f"{_table([_HEADINGS, *(_row(spec, path) for spec, path in listed)])}\n\n"
        f"{here} of {len(listed)} are on this machine; others are downloaded from the Hugging Face Hub on first use.\n"
        "In --model, you can leave out `google/` and add `@REVISION`.\n"
        "GFLOPs are those of the image tower. A multiplication and an addition count as two operations. NaFlex models\n"
        "are counted at their maximum number of patches."
    )
    return Result({"models": [_entry(spec, path) for spec, path in listed]}, text)


def _entry(spec: Spec, path: Path | None) -> dict[str, Any]:
    """`path` is null if the model is not on this machine. `resolution` is null for NaFlex models, which take any
    resolution of at most `max_patches` patches."""
    return {
        "name": spec.name,
        "parameters": spec.parameters,
        "image_parameters": spec.vision.parameters,
        "text_parameters": spec.text.parameters,
        "patch_size": spec.vision.patch_size,
        "resolution": None if spec.vision.naflex else spec.vision.resolution,
        "max_patches": spec.preprocessing.max_patches or spec.vision.tokens,
        "text_length": spec.text_length,
        "embedding_dim": spec.embedding_dim,
        "gflops_per_image": round(spec.vision.gflops, 3),
        "path": None if path is None else str(path),
    }


def _row(spec: Spec, path: Path | None) -> tuple[str, ...]:
    side = spec.vision.resolution
    return (
        spec.name,
        f"{spec.parameters / 1e6:,.1f} M",
        f"<= {spec.preprocessing.max_patches} patches" if spec.vision.naflex else f"{side} x {side}",
        str(spec.text_length),
        str(spec.embedding_dim),
        f"{spec.vision.gflops:,.1f}",
        "-" if path is None else "yes",
    )


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Each column is as wide as its widest cell. The first is aligned left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) if index else cell.ljust(width) for index, (cell, width) in enumerate(cells))
        for cells in (list(zip(row, widths, strict=True)) for row in rows)
    )


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(ModelsJob, models, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())

"""`--threshold-from FILE`: the thresholds of an earlier filter by the same column, of each group its own."""

from __future__ import annotations

from pathlib import Path

from pipeline.filtering import earlier
from pipeline.filtering.cuts import Context, Maker
from pipeline.filtering.made_cut import MadeCut

VALUE = Path
HELP = "manifest of an earlier filter, whose thresholds to use, or whose rule with its thresholds"
FOR_SUMS = False
NEEDS_ADDRESSES = False


def cut(manifest: Path, context: Context) -> MadeCut | Maker:
    (found,) = earlier.cuts(manifest, context.table, context.by, context.per)
    return earlier.as_found(found, context.per)

"""`--threshold-from FILE`: use the thresholds of an earlier filter by the same column, group by group."""

from __future__ import annotations

from pathlib import Path

from pipeline.filtering import earlier
from pipeline.filtering.cuts import Context, Maker
from pipeline.filtering.made_cut import MadeCut

VALUE = Path
HELP = "manifest of an earlier filter: use its thresholds, or its rule with the thresholds"
FOR_SUMS = False
NEEDS_ADDRESSES = False


def cut(manifest: Path, context: Context) -> MadeCut | Maker:
    (found,) = earlier.cuts(manifest, context.table, context.by, context.per)
    return earlier.as_found(found, context.per)

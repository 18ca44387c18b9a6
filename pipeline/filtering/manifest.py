"""The manifest of a filter, `OUTPUT.siglane/manifest.json`: its options, its table, and the resulting cuts.

All code writes and reads manifests through `Manifest`, so its keys are listed only here. It lies beside the output, not
in it: Polars and Hugging Face's datasets read every file of a folder as data, whatever its name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.errors import UsageError
from pipeline.filtering.made_cut import MadeCut
from pipeline.filtering.scores import Scale
from pipeline.mismatch import normalised
from pipeline.mismatch.estimate import Assumption
from pipeline.schema import Identity
from pipeline.table import Table

MANIFEST = "manifest.json"
EARLIER_MANIFEST = "_manifest.json"
"""its name in the output folder, where earlier releases wrote it"""
VERSION = 1
_SAME_BATCH = 0.1
"""batches whose sizes differ by less give about the same normalised scores"""


def beside(output: Path) -> Path:
    """The folder for what belongs to an output and is not data."""
    named = output.resolve() if output.name in ("", "..") else output
    return named.parent / f"{named.name}.siglane"


@dataclass(frozen=True)
class FilteredCut:
    """One of the cuts of a rule."""

    rule: str
    """position in the rule, e.g. `all[1].any[0]`"""
    by: str
    """name of the score or the sum, for display"""
    scored: int
    """rows that have a value for the cut"""
    passed: int
    """rows that meet the cut"""
    threshold: float | None
    """the score that a row must reach, or with `at_most` must not exceed; None if nothing is kept"""
    at_most: bool
    ties_kept: int | None
    """how many of the rows exactly at the threshold are kept, smallest uids first; None if all are"""
    estimate: dict[str, Any] | None
    """how many of the passed pairs are mismatched, and the basis of the estimate; None if it was not requested"""
    scales: Mapping[str, Scale] | None
    """of a weighted sum: smallest and largest value of each column, which become 0 and 1"""

    @property
    def made(self) -> MadeCut:
        """The cut itself, without its estimate."""
        return MadeCut(_or_infinity(self.threshold), self.ties_kept, self.at_most, scales=self.scales)


@dataclass(frozen=True)
class FilteredGroup:
    """The rows with one value of the column `per`, or all rows. With a rule, what is None here is in `cuts`."""

    value: Any
    rows: int
    """embedded pairs that meet the selection's condition"""
    scored: int | None
    kept: int
    threshold: float | None
    """the lowest kept score, or the highest if the cut is `at_most`; None if nothing is kept"""
    ties_kept: int | None
    """how many of the rows exactly at the threshold are kept, smallest uids first; None if all are"""
    estimate: dict[str, Any] | None
    """how many of the kept pairs are mismatched, and the basis of the estimate; None if it was not requested"""
    cuts: Sequence[FilteredCut] = ()
    """cuts of a rule; empty for a single cut, unless that cut is `at_most`"""
    certified: dict[str, Any] | None = None
    """what labels certify about the kept pairs, as in `certificate.Certificate`; None without labels"""

    @property
    def made(self) -> list[MadeCut]:
        """The cuts in the rule's order, or the single cut, without estimates."""
        return [cut.made for cut in self.cuts] or [MadeCut(_or_infinity(self.threshold), self.ties_kept)]


class Manifest(BaseModel):
    """The content of a manifest. Fields with a default are missing in some manifests without a version."""

    # The requested limits have their own names, e.g. `min` and `top_fraction`. No code reads them again.
    model_config = ConfigDict(frozen=True, extra="allow")

    manifest_version: int = VERSION
    table: str
    table_version: int
    tag: str | None
    """the tag of the filtered version of the table"""
    tag_is_new: bool = False
    """whether this filter created the tag"""
    identity: dict[str, Any]
    """identity of the model, as in `schema.Identity`"""
    output_format: str
    flag: str | None = None
    rule: Any = None
    """in the form that `rule.parse_rule` reads; None for a single cut"""
    by: str | None
    """the column of the cut; None with a rule"""
    where: str | None
    per: str | None
    seed: int
    rows: int
    scored: int | None
    """None with a rule, as `threshold` and the estimate of mismatched pairs: each cut of the rule has its own"""
    kept: int
    threshold: float | None
    mismatch_fraction: float | None
    mismatch_interval: tuple[float, float] | None
    wrong_captions: Assumption = "random"
    """how wrong captions come about, for the estimates; earlier releases had no choice"""
    assumes: str | None = None
    """the same, where mismatched pairs were estimated"""
    mismatch_upper_any: float | None = None
    contradicted: bool | None = None
    certified: dict[str, Any] | None = None
    """what labels certify about the kept pairs, as in the group; None without labels"""
    labels: str | None = None
    """the file of labels"""
    batch: int | None = None
    """with a cut by the normalised score: the pairs that each pair of the table is compared with"""
    groups: tuple[FilteredGroup, ...]
    created: str
    """time in UTC, ISO 8601"""

    def write(self, folder: Path) -> None:
        """Writes the manifest into the folder beside an output."""
        content = json.dumps(self.model_dump(mode="json"), indent=2, allow_nan=False)
        (folder / MANIFEST).write_text(content + "\n", "utf-8")

    @classmethod
    def read(cls, named: Path) -> Manifest:
        """Reads a manifest, given as the filter's output folder or as the manifest's file.

        Raises:
            UsageError: the file cannot be read, is not a filter's manifest, or has another manifest version.
        """
        file = _file(named)
        try:
            found: Any = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(
                f"manifest {named}: cannot be read: {error}; name the output folder of a filter"
            ) from error
        version = found.get("manifest_version", VERSION) if isinstance(found, dict) else VERSION
        if version != VERSION:
            raise UsageError(
                f"manifest {named}: its manifest_version is {version!r}, but this Siglane reads version {VERSION}; use "
                "the Siglane release that wrote it, or filter again with this one"
            )
        try:
            return cls.model_validate(found)
        except ValidationError as error:
            raise UsageError(
                f"manifest {named}: not a filter's manifest; name the output folder of a filter"
            ) from error

    def require_batch(self, called: str, table: Table) -> None:
        """Raises UsageError if normalised scores of this table cannot be compared with those of the manifest."""
        here = None if self.batch is None else normalised.batch_size(table)
        if self.batch is not None and here is not None and abs(here - self.batch) > _SAME_BATCH * self.batch:
            raise UsageError(
                f"{called}: its normalised scores compare each pair with {self.batch} others, but those of table "
                f"{table.uri} with {here}, so that its threshold does not fit them; choose the cut of this table anew"
            )

    def require_identity(self, called: str, table: Table) -> None:
        """Raises UsageError if the manifest is for scores of another model. `called`: the manifest's name in errors."""
        for name, here, there in table.identity.differences(Identity.from_json(json.dumps(self.identity))):
            raise UsageError(
                f"{called}: its scores were made with {name} {there}, but those of table {table.uri} with "
                f"{here}; thresholds of one model do not fit another, so choose a new cut for this table"
            )


def _file(named: Path) -> Path:
    """The manifest's file, which may be named by the output, the folder beside it, or the file's earlier place."""
    output = named.parent if named.name == EARLIER_MANIFEST and not named.exists() else named
    places = (beside(output) / MANIFEST, output / MANIFEST, output / EARLIER_MANIFEST)
    return next((place for place in places if place.exists()), named)


def _or_infinity(threshold: float | None) -> float:
    """The threshold, with infinity for None: JSON has no infinity, the threshold of a cut that keeps nothing."""
    return math.inf if threshold is None else threshold

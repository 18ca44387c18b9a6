"""The manifest of a filter, `_manifest.json`: what was asked for, of which table, and the cuts that it came to.

Everything that writes or reads one does so by `Manifest`, so that its keys are listed here and nowhere else.
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
from pipeline.schema import Identity
from pipeline.table import Table

# Readers of Parquet folders leave out files whose names begin so.
MANIFEST = "_manifest.json"
VERSION = 1


@dataclass(frozen=True)
class FilteredCut:
    """One of the cuts of a rule."""

    rule: str
    """its place in the rule, as `all[1].any[0]`"""
    by: str
    """the score, or the sum, for people"""
    scored: int
    """rows that have what is cut"""
    passed: int
    """rows that meet the cut"""
    threshold: float | None
    """the score that must be reached, or, by `at_most`, not be exceeded; None where nothing is kept"""
    at_most: bool
    ties_kept: int | None
    """how many of the rows exactly at the threshold are kept, the smallest uids; None where all are"""
    estimate: dict[str, Any] | None
    """how many of the pairs that passed are mismatched, and from what that was estimated; None where not asked for"""
    scales: Mapping[str, Scale] | None
    """of a weighted sum: the least and the greatest value of each column, which become 0 and 1"""

    @property
    def made(self) -> MadeCut:
        """The cut itself, without its estimate."""
        return MadeCut(_or_infinity(self.threshold), self.ties_kept, self.at_most, scales=self.scales)


@dataclass(frozen=True)
class FilteredGroup:
    """The rows with one value of the column `per`, or all. With a rule, `cuts` says of each what is None here."""

    value: Any
    rows: int
    """embedded pairs that meet the selection's condition"""
    scored: int | None
    kept: int
    threshold: float | None
    """the lowest score kept, or the highest where the cut is `at_most`; None where nothing is kept"""
    ties_kept: int | None
    """how many of the rows exactly at the threshold are kept, the smallest uids; None where all are"""
    estimate: dict[str, Any] | None
    """how many of the kept pairs are mismatched, and from what that was estimated; None where it was not asked for"""
    cuts: Sequence[FilteredCut] = ()
    """of a rule; none where a single cut was asked for, unless that one is `at_most`"""

    @property
    def made(self) -> list[MadeCut]:
        """The cuts in the order of the rule's, or the only one, without their estimates."""
        return [cut.made for cut in self.cuts] or [MadeCut(_or_infinity(self.threshold), self.ties_kept)]


class Manifest(BaseModel):
    """What `_manifest.json` says. What has a default here was not in every manifest before they had a version."""

    # The limits that were asked for come under their own names, as `min` and `top_fraction`. Nothing reads them again.
    model_config = ConfigDict(frozen=True, extra="allow")

    manifest_version: int = VERSION
    table: str
    table_version: int
    tag: str | None
    """the name under which the table keeps the state that was filtered"""
    tag_is_new: bool = False
    """whether this filter gave it"""
    identity: dict[str, Any]
    """the model's, as of `schema.Identity`"""
    output_format: str
    flag: str | None = None
    rule: Any = None
    """as `rule.parse_rule` takes it; None where a single cut was asked for"""
    by: str | None
    """the column that was cut; None with a rule"""
    where: str | None
    per: str | None
    seed: int
    rows: int
    scored: int | None
    """this, `threshold` and the estimate of mismatched pairs are None with a rule, each cut of which has its own"""
    kept: int
    threshold: float | None
    mismatch_fraction: float | None
    mismatch_interval: tuple[float, float] | None
    groups: tuple[FilteredGroup, ...]
    created: str
    """the time, ISO 8601 in UTC"""

    def write(self, folder: Path) -> None:
        """Writes it into a filter's output."""
        content = json.dumps(self.model_dump(mode="json"), indent=2, allow_nan=False)
        (folder / MANIFEST).write_text(content + "\n", "utf-8")

    @classmethod
    def read(cls, file: Path) -> Manifest:
        """
        Raises:
            UsageError: the file cannot be read, or is no manifest of a filter, or one of another version.
        """
        try:
            found: Any = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(f"manifest {file}: cannot be read: {error}") from error
        version = found.get("manifest_version", VERSION) if isinstance(found, dict) else VERSION
        if version != VERSION:
            raise UsageError(
                f"manifest {file}: its manifest_version is {version!r}, and this Siglane reads version {VERSION}; use "
                "the Siglane that wrote it, or filter again with this one"
            )
        try:
            return cls.model_validate(found)
        except ValidationError as error:
            raise UsageError(
                f"manifest {file}: not one of a filter; name the _manifest.json in its output folder"
            ) from error

    def require_identity(self, called: str, table: Table) -> None:
        """Raises UsageError where the manifest is of another model's scores. `called`: how to name the manifest."""
        for name, here, there in table.identity.differences(Identity.from_json(json.dumps(self.identity))):
            raise UsageError(
                f"{called}: its scores were made with {name} {there}, those of table {table.uri} with "
                f"{here}; thresholds do not carry over from one model to another"
            )


def _or_infinity(threshold: float | None) -> float:
    """JSON has no infinity, which is the threshold of a cut that keeps nothing."""
    return math.inf if threshold is None else threshold

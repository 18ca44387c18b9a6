"""Runs a filter: writes a complete folder with the kept pairs and a manifest, or nothing at all."""

from __future__ import annotations

import json
import logging
import math
import socket
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.errors import SiglaneError, UsageError
from pipeline.filtering import flag as flags
from pipeline.filtering import partial
from pipeline.filtering.cuts import cuts
from pipeline.filtering.kept import Counts, KeptRows
from pipeline.filtering.made_cut import MadeCut
from pipeline.filtering.manifest import FilteredCut, FilteredGroup, Manifest, beside
from pipeline.filtering.outputs import Output, written_as
from pipeline.filtering.rule import cut_rules, dumped
from pipeline.filtering.selection import GroupCut, Selection, made_cuts
from pipeline.mismatch import normalised
from pipeline.mismatch.estimate import Assumption
from pipeline.mismatch.q_values import Fit, stored_fit
from pipeline.progress import current
from pipeline.table import Table

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Filtered:
    groups: Sequence[FilteredGroup]
    tag: str | None
    """the tag of the filtered version of the table"""
    fit: Fit | None = None
    """the estimate behind the column of the cut, if it holds q-values"""

    @property
    def rows(self) -> int:
        return sum(group.rows for group in self.groups)

    @property
    def scored(self) -> int | None:
        """None with a rule: each of its cuts has its own count."""
        scored = [group.scored for group in self.groups if group.scored is not None]
        return sum(scored) if len(scored) == len(self.groups) else None

    @property
    def kept(self) -> int:
        return sum(group.kept for group in self.groups)

    @property
    def threshold(self) -> float | None:
        """None if nothing is kept, or if each group has its own threshold."""
        return self.groups[0].threshold if len(self.groups) == 1 else None

    @property
    def mismatch_fraction(self) -> float | None:
        if self.certified is not None:
            return float(self.certified["mismatch_fraction"])
        return self._of_kept(lambda estimate: estimate["mismatch_fraction"])

    @property
    def mismatch_upper_any(self) -> float | None:
        return self._of_kept(lambda estimate: estimate["mismatch_upper_any"])

    @property
    def assumes(self) -> Assumption | None:
        """The assumption of the estimate; None without one."""
        return next((group.estimate["assumes"] for group in self.groups if group.estimate is not None), None)

    @property
    def contradicted(self) -> bool | None:
        """Whether the scores of any group contradict the assumption; None without an estimate."""
        if self.fit is not None:
            return self.fit.contradicted
        found = [group.estimate["contradicted"] is not None for group in self.groups if group.estimate is not None]
        return any(found) if found else None

    @property
    def mismatch_interval(self) -> tuple[float, float] | None:
        """For several groups: the mean of their bounds by kept pairs. Ignores that errors may cancel out."""
        low = self._of_kept(lambda estimate: estimate["interval"][0])
        high = self._of_kept(lambda estimate: estimate["interval"][1])
        return None if low is None or high is None else (low, high)

    @property
    def certified(self) -> dict[str, Any] | None:
        """What labels certify about the kept pairs. Labels certify a cut of all pairs, not one for each group."""
        return self.groups[0].certified if len(self.groups) == 1 else None

    def _of_kept(self, value: Callable[[dict[str, Any]], float]) -> float | None:
        estimated = [(group.kept, value(group.estimate)) for group in self.groups if group.estimate is not None]
        return sum(kept * value for kept, value in estimated) / self.kept if estimated and self.kept else None


def filter_table(
    table: Table,
    selection: Selection,
    output: Path,
    form: Output | None = None,
    tag: bool = True,
    flag: str | None = None,
    overwrite: bool = False,
) -> Filtered:
    """Writes the kept pairs into the folder `output`, which must not exist yet, and a manifest into the one beside it.

    Args:
        form: how to write the pairs; by default as Parquet.
        tag: give the filtered version of the table the tag `filter-VERSION`, so that no cleanup removes it.
        flag: a column of the table to fill with the verdict, after everything else is written.
        overwrite: replace an earlier filter's output, once the new one is complete.

    Raises:
        UsageError: `output` exists (with `overwrite`: and is not a filter's output), or another filter has created it
            by the end; the manifest of `threshold_from` does not fit; or `flag` cannot be filled.
        TableError: no pair is scored, a column cannot be used for this, `where` is not SQL over this table, or the
            table's version cannot be tagged.
        EstimateError: the mismatch fraction cannot be estimated.
    """
    partial.remove_dead(output)
    _require_place(output, overwrite)
    if flag is not None:
        flags.require_name(table, flag, selection)
    form = form or written_as()
    current.begin("choosing the cut")
    found = made_cuts(table, selection)
    kept = KeptRows(table, selection, found, form.writer.columns(table).names)
    folder = partial.make(output)
    try:
        form.writer.write(table, kept, partial.written(folder))
        name = f"filter-{table.version}" if tag else None
        groups = [_result(selection, group, kept.counts, place) for place, group in enumerate(found)]
        result = Filtered(groups, name, None if selection.by is None else stored_fit(table, selection.by))
        tag_is_new = name is not None and not table.has_tag(name)
        _manifest(table, selection, form.format, flag, result, tag_is_new).write(beside(partial.written(folder)))
        if name is not None:
            table.tag(name, _maker(output))
        if flag is not None:
            flags.write(table, selection, found, flag)
        partial.publish(folder, output, overwrite)
    except BaseException:
        partial.restore(folder, output)
        _discard(folder, output)
        raise
    _discard(folder, output)
    return result


def _maker(output: Path) -> dict[str, str]:
    """The record of a filter in the tag that it makes."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"command": "filter", "output": str(output.resolve()), "host": socket.gethostname(), "time": now}


def _require_place(output: Path, overwrite: bool) -> None:
    if not output.exists():
        return
    if not overwrite:
        raise UsageError(
            f"output {output}: already exists; give --overwrite to replace the output of an earlier filter, or choose "
            "another --output"
        )
    try:
        Manifest.read(output)
    except UsageError as error:  # a mistyped --output must not delete what something else has written
        raise UsageError(
            f"output {output}: --overwrite does not replace it, as it is not the output of a filter; choose another"
        ) from error


def _discard(folder: Path, output: Path) -> None:
    try:
        partial.discard(folder, output)
    except (SiglaneError, OSError) as error:  # report the error that ended the filter, not this one
        log.warning("%s: this folder of the filter cannot be removed completely: %s", folder, error)


def _result(selection: Selection, group: GroupCut, counts: Counts, place: int) -> FilteredGroup:
    """`place`: index of the group."""
    rules = cut_rules(selection.whole_rule)
    of_cuts = zip(rules, group.cuts, counts.scored[:, place], counts.passed[:, place], strict=True)
    cuts = [_cut(path, rule.name, made, int(scored), int(passed)) for (path, rule), made, scored, passed in of_cuts]
    rows, kept = int(counts.rows[place]), int(counts.kept[place])
    if selection.rule is not None:
        return FilteredGroup(group.value, rows, None, kept, None, None, None, cuts)
    (cut,) = cuts
    # The group has no field for `at_most`, so such a cut is listed too.
    listed = cuts if cut.at_most else ()
    certificate = group.cuts[0].certificate
    return FilteredGroup(
        group.value,
        rows,
        cut.scored,
        kept,
        cut.threshold,
        cut.ties_kept,
        cut.estimate,
        listed,
        None if certificate is None else asdict(certificate),
    )


def _cut(path: str, by: str, made: MadeCut, scored: int, passed: int) -> FilteredCut:
    threshold = made.threshold if math.isfinite(made.threshold) else None
    estimate = asdict(made.estimate) if made.estimate is not None else None
    return FilteredCut(path, by, scored, passed, threshold, made.at_most, made.ties_kept, estimate, made.scales)


def _by_normalised_score(selection: Selection) -> bool:
    return any(normalised.COLUMN in rule.columns for _, rule in cut_rules(selection.whole_rule))


def _manifest(
    table: Table, selection: Selection, output_format: str, flag: str | None, result: Filtered, tag_is_new: bool
) -> Manifest:
    limits: dict[str, Any] = {name: None for name, kind in cuts().items() if kind.HELP is not None}
    if selection.cut is not None:
        limits[selection.cut.limit] = selection.cut.value
    if selection.earlier is not None:
        limits["threshold_from"] = selection.earlier
    return Manifest(
        table=str(table.uri),
        table_version=table.version,
        tag=result.tag,
        tag_is_new=tag_is_new,
        identity=json.loads(table.identity.to_json()),
        output_format=output_format,
        flag=flag,
        rule=None if selection.rule is None else dumped(selection.rule),
        by=selection.by,
        where=selection.where,
        per=selection.per,
        seed=selection.seed,
        rows=result.rows,
        scored=result.scored,
        kept=result.kept,
        threshold=result.threshold,
        mismatch_fraction=result.mismatch_fraction,
        mismatch_interval=result.mismatch_interval,
        wrong_captions=selection.wrong_captions,
        assumes=result.assumes,
        mismatch_upper_any=result.mismatch_upper_any,
        contradicted=result.contradicted,
        batch=normalised.batch_size(table) if _by_normalised_score(selection) else None,
        certified=result.certified,
        labels=None if selection.labels is None else str(selection.labels),
        groups=tuple(result.groups),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        **limits,
    )

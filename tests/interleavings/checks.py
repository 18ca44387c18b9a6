"""What must hold after every schedule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import lance
import numpy as np

from pipeline import schema, table
from pipeline.errors import RowsLostError, SiglaneError
from pipeline.table import TableUri, lease
from tests.interleavings.actors import Actor
from tests.interleavings.scheduler import LeaseWrite, Scheduler

Key = tuple[str, int]
Rows = dict[Key, dict[str, Any]]
"""by source and number"""

_SCORE_ERROR = 2e-3
"""of float16 vectors of length one"""


def read_rows(uri: TableUri) -> Rows:
    return {(row[schema.SOURCE], row[schema.SOURCE_ROW]): _plain(row) for row in _listed(uri)}


def _listed(uri: TableUri) -> list[dict[str, Any]]:
    return [] if table.open_if_exists(uri) is None else lance.dataset(uri.dataset).to_table().to_pylist()


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Scores as whether they are there: what they must be, the vectors say."""
    scores = {name: row[name] is not None for name in schema.SCORES}
    vectors = {
        name: None if row[name] is None else tuple(row[name]) for name in (schema.IMAGE_VECTOR, schema.TEXT_VECTOR)
    }
    return {**row, **scores, **vectors}


def check_table(uri: TableUri, before: Rows, serial: Sequence[Rows]) -> list[str]:
    """Compares with what comes out if the actors run one after another, in any order."""
    try:
        opened = table.open_table(uri)
        if lost := table.lost_files(opened):
            return [f"missing files: fragments {sorted(lost)}"]
        listed = _listed(uri)
    except Exception as error:  # noqa: BLE001 (whatever it is, the table cannot be read)
        return [f"unreadable: {error}"]
    faults = []
    counted = Counter((row[schema.SOURCE], row[schema.SOURCE_ROW]) for row in listed)
    if doubled := sorted(key for key, rows in counted.items() if rows > 1):
        faults.append(f"doubled: {doubled}")
    found = {(row[schema.SOURCE], row[schema.SOURCE_ROW]): _plain(row) for row in listed}
    everywhere = set.intersection(*(set(rows) for rows in serial))
    if lost_rows := sorted(everywhere - set(found)):
        faults.append(f"lost: {lost_rows}")
    for key, row in found.items():
        expected = [rows[key] for rows in serial if key in rows]
        if not expected:
            faults.append(f"row of nobody: {key}")
            continue
        for name, value in row.items():
            if value not in [other.get(name) for other in expected]:
                faults.append(f"{name} of {key}: {value!r}, not {' or '.join({repr(o.get(name)) for o in expected})}")
    faults += _wrong_scores(listed)
    return faults + _lost_by_index(opened, listed)


def _wrong_scores(listed: Sequence[Mapping[str, Any]]) -> list[str]:
    faults = []
    for row in listed:
        cosine = row[schema.COSINE]
        if cosine is None:
            continue
        image, text = (np.array(row[name] or [0, 0], np.float32) for name in (schema.IMAGE_VECTOR, schema.TEXT_VECTOR))
        if not abs(image @ text - cosine) <= _SCORE_ERROR:
            faults.append(f"score of {row[schema.SOURCE], row[schema.SOURCE_ROW]}: {cosine}, not {image @ text}")
    return faults


def _lost_by_index(opened: table.Table, listed: Sequence[Mapping[str, Any]]) -> list[str]:
    if not opened.lance.describe_indices():
        return []
    by_uid = Counter(row[schema.UID] for row in listed)
    found = {uid: opened.count(f"{schema.UID} = '{uid}'") for uid in by_uid}
    return [f"by index: {found[uid]} of {rows} rows of {uid}" for uid, rows in by_uid.items() if found[uid] != rows]


def check_actors(scheduler: Scheduler, actors: Mapping[str, Actor], uri: TableUri) -> list[str]:
    """Every process has ended well or in an error of ours, with true counts; and leases were kept."""
    faults = []
    brought = _brought_in(uri)
    for process in scheduler.processes:
        actor, error = actors[process.letter], process.error
        name = f"{process.letter}{process.number} ({actor.name})"
        if not process.is_dead and not may_end_so(error, actor):
            faults.append(f"error of {name}: {type(error).__name__}: {error}")
        if "goes on, replaced" in process.notes:
            faults.append(f"fence: {name} goes on, and has found that another run holds its lease")
        if actor.counts_rows and brought is not None and error is None and not process.is_dead:
            said = process.notes["landed"].total()
            rows = brought.get(f'"{process.letter}{process.number}"', 0)
            if said != rows:
                faults.append(f"count of {name}: says {said}, and brought in {rows}")
    return faults + _broken_leases(scheduler)


def may_end_so(error: BaseException | None, actor: Actor) -> bool:
    """Whether that is no fault of siglane's."""
    if error is None or isinstance(error, KeyboardInterrupt) or (not actor.is_ours and isinstance(error, Exception)):
        return True
    return isinstance(error, SiglaneError) and not isinstance(error, RowsLostError)


def _brought_in(uri: TableUri) -> dict[str, int] | None:
    """Rows by the settings of the run that brought them in, by the table's own history; None where it is not whole."""
    opened = table.open_if_exists(uri)
    if opened is None:
        return {}
    try:
        signs = table.signs_of_work(opened, 10_000)
        versions = len(opened.lance.version_refs())
    except (TypeError, SiglaneError):
        return None
    if versions < opened.version:
        return None
    counted: Counter[str] = Counter()
    for sign in signs:
        if sign.settings is not None:
            counted[sign.settings] += sign.rows
    return dict(counted)


def _broken_leases(scheduler: Scheduler) -> list[str]:
    """Nobody takes a lease from a living process that has given a sign of life within its patience."""
    faults = []
    held: dict[str, LeaseWrite] = {}
    for write in scheduler.leases:
        before = held.pop(write.key, None)
        if before is not None and before.process is not write.process and before.holder != write.holder:
            owner = before.process
            is_silent = write.time - before.time >= lease.PATIENCE_SECONDS
            if not is_silent and (owner.letter, owner.number) not in write.over:
                faults.append(f"lease: {write.process.letter} takes it from {owner.letter}, which lives")
        if write.holder is not None:
            held[write.key] = write
    return faults

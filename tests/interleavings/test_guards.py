"""Each guard of the protocol, taken out, lets a schedule through that breaks the table: the explorer finds it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from pipeline.table import clean, columns, commit, fill, lease, replacing, transactions
from pipeline.table.commit import Committer
from pipeline.table.fill import Filled
from pipeline.table.replacing import ITEM, POSITION
from pipeline.table.store import Table
from pipeline.table.transactions import until_landed
from pipeline.table.uri import TableUri
from tests.interleavings.explorer import explore, shrink, told
from tests.interleavings.scenario import Scenario, room_of

MOST = 1_500
"""schedules"""


def no_compare_and_swap(patch: pytest.MonkeyPatch) -> None:
    real = commit.swap

    def swap(table: Table, gone: pa.Array, new: Sequence[Any]) -> Any:
        operation, first = real(table, gone, new), table.lance.get_fragments()[0].metadata
        operation.updated_fragments = [metadata for metadata in operation.updated_fragments if metadata != first]
        return operation

    patch.setattr(commit, "swap", swap)


def no_look_up_after_a_refusal(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Committer, "_overtaken", property(lambda _: False, lambda *_: None), raising=False)


def no_look_up_of_what_is_staged_later(patch: pytest.MonkeyPatch) -> None:
    real = Committer._try

    def only_this_commit(self: Committer, change: Any) -> bool:
        landed = real(self, change)
        self._overtaken &= not landed
        return landed

    patch.setattr(Committer, "_try", only_this_commit)


def no_version_before_a_merge(patch: pytest.MonkeyPatch) -> None:
    real = Committer.merge_fragments

    def merge_fragments(self: Committer, run_is_over: bool = False) -> None:
        before = self._overtaken
        real(self, run_is_over)
        self._overtaken = before

    patch.setattr(Committer, "merge_fragments", merge_fragments)


def no_end_of_a_run_that_was_replaced(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lease.Lease, "_replaced_by", property(lambda _: None, lambda *_: None), raising=False)


def no_wait_for_silence(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lease.Lease, "_wait_for_silence", lambda *_: None)


def no_tombstones_for_removed_pairs(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(replacing, "_forgotten", lambda kept, _: kept.slice(0, 0).select([ITEM, POSITION]))


def no_look_at_the_base_of_a_fill(patch: pytest.MonkeyPatch) -> None:
    def commit_all(uri: TableUri, staged: Sequence[Filled]) -> list[Filled]:
        def change(table: Table) -> list[Filled]:
            present = {fragment.fragment_id for fragment in table.lance.get_fragments()}
            valid = [item for item in staged if item.fragment_id in present]
            if valid:
                columns.commit_columns(table, [item.update for item in valid if item.update is not None])
            return valid

        return until_landed(uri, change)

    patch.setattr(columns, "_commit", commit_all)


def no_look_for_a_commit_that_has_landed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(commit, "has_landed", lambda *_: False)


def no_look_for_removed_versions(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(transactions, "require_versions", lambda *_: None)


def no_commit_before_a_cleaning(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(clean, "commit", lambda _, version, __: SimpleNamespace(version=version + 2))


def no_announcement_of_a_cleaning(patch: pytest.MonkeyPatch) -> None:
    for room in (commit, fill, columns):
        patch.setattr(room, "last_cleaning", lambda _: None)


@dataclass(frozen=True)
class Guard:
    take_out: Callable[[pytest.MonkeyPatch], None]
    scenario: str
    fault: str
    """how the first line begins that says what is wrong"""


GUARDS = [
    Guard(no_compare_and_swap, "embed+embed-other", "doubled"),
    Guard(no_look_up_after_a_refusal, "embed+embed-other", "doubled"),
    Guard(no_look_up_of_what_is_staged_later, "embed+embed-other", "doubled"),
    Guard(no_version_before_a_merge, "embed+embed-other", "doubled"),
    Guard(no_end_of_a_run_that_was_replaced, "embed+embed/heartbeats", "fence"),
    Guard(no_wait_for_silence, "embed+embed", "lease"),
    Guard(no_tombstones_for_removed_pairs, "replace+remove", "status of ('b'"),
    Guard(no_look_at_the_base_of_a_fill, "score-all+remove-a", "doubled"),
    Guard(no_look_at_the_base_of_a_fill, "score+signal", "caption_characters of ('b'"),
    Guard(no_look_for_a_commit_that_has_landed, "embed/?-", "count"),
    Guard(no_look_for_removed_versions, "merge+remove-a+cleanup/small", "doubled"),
    Guard(no_look_for_removed_versions, "embed+embed-other+cleanup/tagged", "doubled"),
    Guard(no_commit_before_a_cleaning, "embed+take-over+clean", "missing files"),
    Guard(no_commit_before_a_cleaning, "score+take-over+clean", "missing files"),
    Guard(no_announcement_of_a_cleaning, "score+take-over+clean", "missing files"),
]


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: f"{guard.take_out.__name__}-{guard.scenario}")
def test_a_guard_that_is_taken_out_is_missed(guard: Guard) -> None:
    with room_of(Scenario.named(guard.scenario)) as room, pytest.MonkeyPatch.context() as patch:
        guard.take_out(patch)
        found = explore(room, most=MOST)
        assert found.failing, f"{found.schedules} schedules, and none fails"
        parts, faults = shrink(room, *found.failing[0])
        print(f"after {found.schedules} schedules: {told(room, parts, faults)}")
        assert any(fault.startswith(guard.fault) for fault in faults), faults

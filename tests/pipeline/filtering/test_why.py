"""Why a pair was kept or dropped, as the filter saw it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline import schema, table
from pipeline.errors import TableError, UsageError
from pipeline.filtering import Judged, Selection, filter_table, one_cut, why
from tests.tables import cosines_as, uids, write_table

STATUS = [schema.SUCCESS] * 6 + [schema.REJECTED]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Six pairs of which two tie and one has no score for `quality`, and a reject."""
    return write_table(
        tmp_path / "t",
        *cosines_as([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]),
        status=STATUS,
        reason=[None] * 6 + ["decode"],
        quality=[1.0, 2.0, 2.0, None, 3.0, 4.0, 5.0],
        lang=["en", "en", "en", "en", "fr", "fr", "fr"],
    )


def uid_of(pairs: Path, row: int) -> str:
    return uids(table.open_table(table.parse(str(pairs))).count())[row]


def judge(
    pairs: Path, output: Path, row: int, where: str | None = None, per: str | None = None, **limit: float
) -> Judged:
    if not output.exists():
        selection = Selection(one_cut("quality", **limit), where=where, per=per)
        filter_table(table.open_table(table.parse(str(pairs))), selection, output)
    (judged,) = why(table.parse(str(pairs)), uid_of(pairs, row), output)
    return judged


def test_each_verdict_has_its_reason(pairs: Path, tmp_path: Path) -> None:
    """The best three of four: 4, 3, and one of the two that tie at 2."""
    rows = [judge(pairs, tmp_path / "out", row, top_fraction=0.75, where="key <> '0'") for row in range(7)]
    tied = ["ties at the cut, and is not among the 1 kept rows with the smallest uids"] * 2
    first = uid_of(pairs, 1) > uid_of(pairs, 2)  # the place, in the two, of the smaller uid
    tied[first] = tied[first].replace("is not", "is")
    assert [row.kept for row in rows] == [False, not first, first, False, True, True, False]
    assert [row.because for row in rows] == [
        "excluded by --where key <> '0'",
        *tied,
        "has no quality",
        "quality 3 reaches the cut at 2",
        "quality 4 reaches the cut at 2",
        "rejected: decode",
    ]
    assert (rows[5].by, rows[5].value, rows[5].cut) == ("quality", 4.0, 2.0)
    assert rows[6].row["source"] == "b.parquet"


def test_the_group_is_named(pairs: Path, tmp_path: Path) -> None:
    dropped = judge(pairs, tmp_path / "out", 4, top_fraction=0.5, per="lang")
    assert (dropped.kept, dropped.because) == (False, "quality 3 is below the cut of lang 'fr' at 4")
    assert (
        judge(pairs, tmp_path / "none", 0, top_fraction=0.2, per="lang").because == "the cut of lang 'en' keeps nothing"
    )


def test_without_a_manifest_the_row_is_shown_unjudged(pairs: Path) -> None:
    (shown,) = why(table.parse(str(pairs)), uid_of(pairs, 3))
    assert (shown.row["key"], shown.row["caption"], shown.kept) == ("3", "caption 3", None)
    assert shown.row["cosine"] == pytest.approx(0.4, abs=1e-3)


def test_a_row_is_not_judged_by_another_tables_cut(pairs: Path, tmp_path: Path) -> None:
    judge(pairs, tmp_path / "out", 0, min=2.0)
    manifest = tmp_path / "out.siglane" / "manifest.json"
    other = write_table(tmp_path / "other", *cosines_as([0.1]))
    with pytest.raises(UsageError, match=r"manifest .*: it is for table .*/t, not for .*/other; give --table .*/t$"):
        why(table.parse(str(other)), "0" * 32, manifest)
    said = json.loads(manifest.read_text())
    said["identity"]["weights"] = "f" * 64
    manifest.write_text(json.dumps(said))
    with pytest.raises(UsageError, match=r"manifest .*: its scores were made with weights f+, but those of table .*/t"):
        why(table.parse(str(pairs)), "0" * 32, manifest)


def test_a_fixed_state_that_was_filtered_can_be_asked_for(pairs: Path, tmp_path: Path) -> None:
    fixed = pairs.with_name(f"t@{table.open_table(table.parse(str(pairs))).version}")
    assert judge(fixed, tmp_path / "out", 4, min=2.0).kept
    (judged,) = why(table.parse(str(pairs)), uid_of(pairs, 4), tmp_path / "out.siglane" / "manifest.json")
    assert judged.kept


def test_an_infinite_score_is_none(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t", *cosines_as([0.1, 0.2]), quality=[float("inf"), 1.0])
    judged = judge(path, tmp_path / "out", 0, min=0.0)
    assert (judged.kept, judged.value, judged.because) == (False, None, "has no quality")


def test_a_uid_that_is_none_and_one_that_is_not_there_are_named(pairs: Path) -> None:
    with pytest.raises(UsageError, match="not a uid; give 32 hex characters"):
        why(table.parse(str(pairs)), "x' OR 'a' = 'a")
    with pytest.raises(TableError, match="no row has uid " + "f" * 32):
        why(table.parse(str(pairs)), "f" * 32)

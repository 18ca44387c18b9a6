"""`siglane embed` that only plans, or is ended by a bound: summary, message, exit code."""

from __future__ import annotations

import json
from pathlib import Path

from tests.processes import Siglane
from tests.rows import rows_of
from tests.samples import jpeg, write_parquet, write_photos


def test_a_dry_run_says_what_is_left_and_writes_nothing(siglane: Siglane, tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 5)
    run = ["embed", "--input", "in", "--table", "db/t", "--model", model]
    plan = siglane(*run, "--dry-run")
    assert (plan["read"], plan["success"], plan["rejected"], plan["skipped"]) == (0, 0, 0, 0)
    assert (plan["dry_run"], plan["input_format"], plan["sources"], plan["chunks"]) == (True, "folder", 5, 1)
    assert plan["bytes"] == sum(file.stat().st_size for file in (tmp_path / "in").glob("*.jpg"))
    assert (plan["rows"], plan["rows_are_exact"], plan["rows_known_from"]) == (5, True, "the listing")
    assert (plan["dataset"], plan["table_exists"]) == (f"{tmp_path}/db/t.lance", False)
    assert plan["model"]["dimension"] == 96
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_a_dry_run_of_a_table_in_progress(siglane: Siglane, tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 5)
    run = ["embed", "--input", "in", "--table", "db/t", "--model", model, "--local"]
    siglane(*run, "--limit", 2)
    before = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "db").rglob("*"))
    plan = siglane(*run, "--dry-run")
    assert (plan["skipped"], plan["sources"], plan["rows"], plan["table_exists"]) == (2, 3, 3, True)
    bounded = siglane(*run, "--dry-run", "--limit", 2)
    assert (bounded["chunks"], bounded["rows"]) == (0, 0)
    assert sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "db").rglob("*")) == before


def test_a_run_whose_time_is_over_ends_with_code_4_and_says_how_to_go_on(
    siglane: Siglane, tmp_path: Path, model: Path
) -> None:
    write_photos(tmp_path / "in", 5)
    run = ["embed", "--input", "in", "--table", "db/t", "--model", model, "--local"]
    process = siglane.start(*run, "--max-hours", "1e-9")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 4, err
    last = err.strip().splitlines()[-1]
    assert "stopped after --max-hours 1e-09" in last
    assert "run the same command again to continue" in last
    assert siglane(*run, "--max-hours", 1)["stopped"] is None
    assert len(rows_of(tmp_path / "db" / "t")) == 5


def test_mostly_rejects_end_a_run_early_with_code_3_and_the_reasons(
    siglane: Siglane, tmp_path: Path, model: Path
) -> None:
    write_parquet(tmp_path / "in.parquet", [jpeg(0)] * 100 + [None] * 12_000, ["a caption"] * 12_100)
    run = ["embed", "--input", "in.parquet", "--table", "db/t", "--model", model, "--local"]
    process = siglane.start(*run, "--json")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 3, err
    last = err.strip().splitlines()[-1]
    assert "rows were rejected (" in last
    assert "no-image), more than --max-reject-fraction 0.2" in last
    assert "rows were not committed" in last
    assert not (tmp_path / "db" / "t.lance" / "_versions").exists()
    summary = json.loads(out)
    assert (summary["stopped"], summary["read"]) == ("max-reject-fraction", 0)
    assert summary["uncommitted"] >= 10_000
    assert summary["uncommitted_by_reason"] == {"no-image": summary["uncommitted"] - 100}

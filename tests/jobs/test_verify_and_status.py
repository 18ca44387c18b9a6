"""`siglane verify` and `siglane status` as a user meets them."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import lance
import pyarrow as pa

from tests.processes import Siglane


def test_verify_says_what_is_wrong_and_how_to_mend_it(siglane: Siglane, tmp_path: Path, undisturbed: Path) -> None:
    shutil.copytree(f"{undisturbed}.lance", tmp_path / "t.lance")
    summary = siglane("verify", "--table", "t")
    assert (summary["ok"], summary["problems"], summary["rows"]) == (True, [], 600)
    lance.dataset(str(tmp_path / "t.lance")).update({"uid": "'x'"}, "source = '03.parquet' AND source_row = 5")
    process = siglane.start("verify", "--table", "t")
    _, err = process.communicate()
    assert process.returncode == 1
    assert "uid-format: 1 (03.parquet row 5); --repair deletes these rows" in err
    assert err.endswith("siglane verify: 1 problems remain in t; each names its fix\n")


def test_verify_of_no_table_is_one_line(siglane: Siglane) -> None:
    assert "no table at" in siglane.fails("verify", "--table", "t", code=1)


def test_status_tells_rows_last_commit_and_that_nobody_is_at_work(
    siglane: Siglane, tmp_path: Path, undisturbed: Path
) -> None:
    shutil.copytree(f"{undisturbed}.lance", tmp_path / "t.lance")
    lance.dataset(str(tmp_path / "t.lance")).add_columns(pa.schema([("later", pa.int8())]))  # which brings no rows
    found = siglane("status", "--table", "t")
    assert found["rows"] == sum(found["rows_by_status"].values()) == 600
    assert found["rows_by_status"]["rejected"] == sum(found["rejected_by_reason"].values()) > 10
    assert found["runs"] == []
    last = found["last_commit"]
    assert last["version"] < found["version"]
    assert 0 < last["rows"] <= 600
    age = datetime.now(UTC) - datetime.fromisoformat(last["time"])
    assert timedelta(0) < age < timedelta(hours=1)


def test_a_sample_needs_its_input(siglane: Siglane) -> None:
    assert "give the --input" in siglane.fails("verify", "--table", "t", "--sample", 3, code=2)

"""`siglane scenes`: a dataset that `siglane embed` takes, with the truth in a column."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

from tests.processes import Siglane
from tests.rows import rows_of


def test_scenes_have_the_asked_shares_of_wrong_captions_and_can_be_embedded(
    siglane: Siglane, tmp_path: Path, model: Path
) -> None:
    shares = ["--wrong-other", 0.2, "--wrong-similar", 0.1, "--wrong-attribute", 0.1]
    assert siglane("scenes", "--output", "s", "--count", 100, "--seed", 5, *shares)["count"] == 100
    truth = pq.read_table(tmp_path / "s").to_pylist()
    assert Counter(row["caption_kind"] for row in truth) == {"true": 60, "other": 20, "similar": 10, "attribute": 10}
    run = ["embed", "--input", "s", "--table", "t", "--model", model, "--local", "--keep-cols", "caption_kind"]
    assert siglane(*run)["success"] == 100
    kinds = {row["uid"]: row["caption_kind"] for row in truth}
    assert {row["uid"]: row["caption_kind"] for row in rows_of(tmp_path / "t").values()} == kinds


def test_a_folder_that_holds_something_is_not_written_to(siglane: Siglane, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "mine").write_text("x")
    assert "s is not empty" in siglane.fails("scenes", "--output", "s", "--count", 5, code=2)


def test_shares_above_one_are_refused(siglane: Siglane) -> None:
    line = siglane.fails("scenes", "--output", "s", "--wrong-other", 0.7, "--wrong-similar", 0.7, code=2)
    assert "wrong" in line


def test_a_folder_of_scenes_says_what_to_embed(siglane: Siglane, tmp_path: Path, model: Path) -> None:
    process = siglane.start("scenes", "--output", "s", "--count", 4, "--layout", "folder")
    line = process.communicate()[1].strip()
    assert line.endswith("; to embed them, give --input s/images")
    run = ["embed", "--table", "t", "--model", model, "--local", "--input", line.rpartition(" ")[2]]
    assert siglane(*run)["success"] == 4

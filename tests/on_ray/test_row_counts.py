"""On Ray too a sample that a reader drops makes the run fail, with both counts."""

from __future__ import annotations

from pathlib import Path

from tests.pipeline.embedding.test_row_counts import last_line_of_a_run_that_drops_rows
from tests.samples import jpeg, write_parquet


def test_the_command_ends_with_both_numbers(tmp_path: Path, model: Path) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", [jpeg(n) for n in range(5)], ["a caption"] * 5)
    command = ("embed", "--input", tmp_path / "in", "--table", "t", "--model", model)  # its own Ray, that is sabotaged
    assert "a.parquet has 5 samples, but 4 were read" in last_line_of_a_run_that_drops_rows(tmp_path, *command)

"""SIGKILL of a run that replaces, retries or removes rows: the old ones are there or the new, then the new ones."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from tests.processes import Siglane
from tests.rows import Rows, assert_same_rows, rows_of
from tests.samples import jpeg, write_parquet

CHANGED = {"03.parquet": 61, "07.parquet": 20}
"""with the number of rows that they have then"""


@pytest.fixture(scope="module")
def changed(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset with other content in two of its files."""
    folder = tmp_path_factory.mktemp("changed") / "dataset"
    shutil.copytree(dataset, folder)
    for name, rows in CHANGED.items():
        images = [b"no image" if number == 5 else jpeg(number // 2 + 400) for number in range(rows)]
        write_parquet(folder / name, images, [f"new caption {number}" for number in range(rows)], row_group_size=20)
    return folder


@pytest.fixture(scope="module")
def expected(changed: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """The rows of the changed dataset, by a run that nothing disturbs."""
    folder = tmp_path_factory.mktemp("expected")
    Siglane(folder)("embed", "--input", changed, "--table", "t", "--model", model, "--local")
    return rows_of(folder / "t")


@pytest.fixture
def table(undisturbed: Path, tmp_path: Path) -> Path:
    """A table of the dataset as it was."""
    shutil.copytree(f"{undisturbed}.lance", tmp_path / "t.lance")
    return tmp_path / "t"


def command(dataset: Path, model: Path, option: str) -> list[object]:
    run = ["embed", "--input", dataset, "--table", "t", "--model", model, "--local", option]
    return [*run, "--commit-seconds", "0", "--batch-size", "8"]


def killed(fatal: Siglane, step: str, arguments: list[object]) -> None:
    process = fatal.start(*arguments, environment={"KILL_AT": step})
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, "the run did not come to this step"


@pytest.mark.parametrize("step", ["stage:after:2", "commit:before:1", "commit:after:1", "commit:before:2"])
def test_killed_while_replacing(
    fatal: Siglane, changed: Path, expected: Rows, table: Path, model: Path, step: str
) -> None:
    old = rows_of(table)
    killed(fatal, step, command(changed, model, "--replace-changed"))
    between = rows_of(table)
    for source in {place[0] for place in old}:
        found, before, after = ({p: r for p, r in rows.items() if p[0] == source} for rows in (between, old, expected))
        is_new = {row["source_version"] for row in found.values()} == {row["source_version"] for row in after.values()}
        assert_same_rows(found, after if is_new else before)
    fatal(*command(changed, model, "--replace-changed"))
    assert_same_rows(rows_of(table), expected)


@pytest.mark.parametrize("step", ["commit:before:1", "commit:after:1"])
def test_killed_while_retrying(fatal: Siglane, dataset: Path, table: Path, model: Path, step: str) -> None:
    old = rows_of(table)
    killed(fatal, step, command(dataset, model, "--retry-rejected"))
    assert_same_rows(rows_of(table), old)
    rejected = sum(row["status"] == "rejected" for row in old.values())
    assert fatal(*command(dataset, model, "--retry-rejected"), code=3)["rejected"] == rejected
    assert_same_rows(rows_of(table), old)


@pytest.mark.parametrize(("step", "removed"), [("commit:before:1", 0), ("commit:after:1", 24)])
def test_killed_while_removing(fatal: Siglane, table: Path, step: str, removed: int) -> None:
    remove = ["remove", "--table", "t", "--where", "source_row < 2"]
    killed(fatal, step, remove)
    assert sum(row["status"] == "removed" for row in rows_of(table).values()) == removed
    assert fatal(*remove)["removed"] == 24 - removed
    assert len(rows_of(table)) == 600

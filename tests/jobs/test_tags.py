"""`siglane tags`: which versions a table's tags keep, what made them, and their deletion."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import lance
import numpy as np
import pytest

from jobs import filter, tags  # noqa: A004
from pipeline import table as tables
from tests.processes import Siglane
from tests.tables import write_table


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write_table(tmp_path / "t", np.eye(8), np.eye(8))


def kept(table: Path, output: str) -> None:
    run = ["--table", str(table), "--by", "cosine", "--top-fraction", "0.5", "--output", str(table.parent / output)]
    assert filter.main(run) == 0


def listed(table: Path, capfd: pytest.CaptureFixture[str], *more: str) -> dict:  # type: ignore[type-arg]
    capfd.readouterr()
    assert tags.main(["--table", str(table), *more, "--json"]) == 0
    return json.loads(capfd.readouterr().out)  # type: ignore[no-any-return]


def test_a_tag_says_what_made_it_and_when(table: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert listed(table, capfd)["tags"] == []
    version = lance.dataset(f"{table}.lance").version
    kept(table, "kept")
    (tag,) = listed(table, capfd)["tags"]
    assert (tag["name"], tag["version"], tag["rows"], tag["shared"]) == (f"filter-{version}", version, 8, False)
    assert timedelta(0) <= datetime.now(UTC) - datetime.fromisoformat(tag["created"]) < timedelta(hours=1)
    (record,) = tag["made_by"]
    assert (record["command"], record["host"]) == ("filter", socket.gethostname())
    assert record["output"] == str(table.parent / "kept")
    assert tags.main(["--table", str(table)]) == 0
    err = capfd.readouterr().err
    assert f"filter-{version}  version {version}, {datetime.now(UTC).date()}" in err
    assert f"made by: filter to {table.parent}/kept on " in err


def test_the_bytes_that_only_a_tag_holds_are_those_that_no_other_needs(
    table: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    uri = tables.parse(str(table))
    dataset = lance.dataset(uri.dataset)
    dataset.tags.create("old", dataset.version)
    assert listed(table, capfd)["tags"][0]["bytes_alone"] == 0
    files = {path.name: path.stat().st_size for path in Path(uri.dataset, "data").iterdir()}
    held = sum(files[file.path] for fragment in dataset.get_fragments() for file in fragment.metadata.files)
    dataset.optimize.compact_files()
    assert listed(table, capfd)["tags"][0]["bytes_alone"] == held
    dataset.tags.create("same", dataset.tags.get_version("old"))
    assert [tag["bytes_alone"] for tag in listed(table, capfd)["tags"]] == [0, 0]


def test_tags_are_deleted_all_or_none(table: Path, siglane: Siglane, capfd: pytest.CaptureFixture[str]) -> None:
    dataset = lance.dataset(f"{table}.lance")
    for name in ("one", "two", "three"):
        dataset.tags.create(name, 1)
    line = siglane.fails("tags", "--table", "t", "--delete", "one", "--delete", "four", code=1)
    assert "no tag 'four'; it has one, three, two" in line
    assert len(dataset.tags.list()) == 3
    found = listed(table, capfd, "--delete", "one", "--delete", "two")
    assert (found["deleted"], [tag["name"] for tag in found["tags"]]) == (["one", "two"], ["three"])


def test_a_tag_that_two_filters_use_is_not_deleted(
    table: Path, siglane: Siglane, capfd: pytest.CaptureFixture[str]
) -> None:
    kept(table, "one")
    kept(table, "two")
    (tag,) = listed(table, capfd)["tags"]
    assert tag["shared"]
    assert [record["output"] for record in tag["made_by"]] == [f"{table.parent}/one", f"{table.parent}/two"]
    line = siglane.fails("tags", "--table", "t", "--delete", tag["name"], code=1)
    assert f"more than one filter uses the tag '{tag['name']}'" in line
    assert len(listed(table, capfd)["tags"]) == 1

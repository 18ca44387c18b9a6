"""Commands beside `embed` as jobs: killed on the way and submitted again, they end as undisturbed ones do."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline import table as tables
from tests.processes import Siglane
from tests.ray_clusters import RayCluster
from tests.rows import rows_of
from tests.tables import in_fragments

COMMANDS = {
    "score": (["score", "--signal", "caption_length"], "commit:before:2"),
    "dedup": (["dedup", "--method", "exact"], "commit:after:1"),
    "tag": (["tag", "--labels", "labels.txt", "--column", "kind"], "commit:before:2"),
    "filter": (["filter", "--top-fraction", "0.3", "--by", "original_width", "--output", "out"], "shard:before:1"),
    "index": (["index", "--scalar", "source", "--kind", "ivf_flat"], "lease:after:1"),
    "optimize": (["optimize"], "merge:before:1"),
}
"""each with the step at which it is killed"""


@pytest.mark.parametrize("name", COMMANDS)
def test_killed_and_submitted_again_it_ends_as_an_undisturbed_one(
    name: str, fatal: Siglane, siglane: Siglane, tmp_path: Path, undisturbed: Path, ray_cluster: RayCluster
) -> None:
    command, step = COMMANDS[name]
    places = [tmp_path, tmp_path / "undisturbed"]
    for place in places:
        place.mkdir(exist_ok=True)
        in_fragments(undisturbed, place / "t", 50)
        (place / "labels.txt").write_text("a dog\na house\n")
    submit = ("submit", "--address", ray_cluster.jobs)
    job = (*command, "--table", "t")
    passed = ("--env", "KILL_AT", "--env", "PYTHONPATH")
    killed = fatal.start(*submit, *passed, "--", *job, environment={"KILL_AT": step})
    _, err = killed.communicate(timeout=240)
    assert killed.returncode == 1, err
    assert "the job's process was ended by signal 9; finished work is kept, submit the same command again" in err
    again = siglane.start(*submit, "--", *job)
    _, err = again.communicate(timeout=240)
    assert again.returncode == 0, err
    here = [str(places[1] / word) if word in ("out", "labels.txt") else word for word in command]
    assert import_module(f"jobs.{name}").main([*here[1:], "--table", str(places[1] / "t")]) == 0
    ours, theirs = map(outcome, places)
    assert ours == theirs
    if name == "filter":
        assert kept(tmp_path / "out") == kept(places[1] / "out")


def outcome(place: Path) -> object:
    """The rows of a table, its fragments and its indexes."""
    opened = tables.open_table(tables.parse(str(place / "t")))
    indexes = sorted((index.name, index.rows, index.rows_without) for index in tables.list_indexes(opened))
    return rows_of(place / "t"), opened.fragments, indexes


def kept(output: Path) -> object:
    manifest = json.loads((output.with_name(f"{output.name}.siglane") / "manifest.json").read_text())
    return pq.read_table(output).to_pylist(), manifest["kept"], manifest["threshold"]

"""SIGKILL of a score, dedup or filter: the table stays whole, no half artefact has its name, the command goes on."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
from pathlib import Path

import lance
import pyarrow.parquet as pq
import pytest

from jobs import dedup as dedup_job
from jobs import filter as filter_job
from jobs import score as score_job
from pipeline import scoring, table
from pipeline.filtering import beside
from pipeline.verify import VerifyOptions, verify
from tests.faults.share import KILLS
from tests.processes import Siglane, kill_process_group
from tests.rows import Rows, rows_of
from tests.tables import in_fragments

JOBS = {"score": score_job, "dedup": dedup_job, "filter": filter_job}
RANDOM_KILLS = max(1, KILLS // 20)
"""of each command"""
SCORE = ["score", "--signal", "caption_length"]
DEDUP = ["dedup", "--method", "exact"]
FILTER = ["filter", "--top-fraction", "0.3"]


@pytest.fixture(scope="module")
def embedded(undisturbed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset's table in twelve fragments."""
    path = tmp_path_factory.mktemp("embedded") / "t"
    in_fragments(undisturbed, path, 50)
    return path


@pytest.fixture(scope="module")
def scored(embedded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = copied(embedded, tmp_path_factory.mktemp("scored"))
    list(scoring.score_table(table.parse(str(path))))
    return path


def copied(path: Path, folder: Path) -> Path:
    shutil.copytree(f"{path}.lance", folder / "t.lance")
    return folder / "t"


def run(command: list[str], folder: Path, code: int = 0) -> None:
    name, *options = command
    where = ["--output", str(folder / "out")] if name == "filter" else []
    assert JOBS[name].main([*options, "--table", str(folder / "t"), *where]) == code


def whole(path: Path) -> Rows:
    """The rows of a table in which nothing is amiss, cleaned of what dead runs have left."""
    report = verify(VerifyOptions(table=str(path), clean=True))
    assert report.problems == []
    assert verify(VerifyOptions(table=str(path))).leftovers == table.Leftovers((), {}, (), ())
    return rows_of(path)


def killed(fatal: Siglane, command: list[str], step: str) -> None:
    where = ["--output", "out"] if command[0] == "filter" else []
    process = fatal.start(*command, "--table", "t", *where, environment={"KILL_AT": step})
    _, err = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, f"the command did not come to this step: {err}"


def go_on(path: Path) -> None:
    """Makes another state the table's newest."""
    lance.dataset(f"{path}.lance").update_config({"another": "state"})


def tags(path: Path) -> dict[str, int]:
    return {name: tag["version"] for name, tag in lance.dataset(f"{path}.lance").tags.list().items()}


STEPS = ["lease:before:1", "lease:after:1", "columns:before:2", "columns:after:5", "commit:before:1", "commit:after:1"]
STEPS += ["commit:before:3", "release:before:1"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("command", [SCORE, DEDUP], ids=["score", "dedup"])
def test_filling_columns_killed_at_a_step(
    fatal: Siglane, tmp_path: Path, embedded: Path, command: list[str], step: str
) -> None:
    copied(embedded, tmp_path)
    killed(fatal, command, step)
    between = whole(tmp_path / "t")
    run(command, tmp_path)
    after = whole(tmp_path / "t")
    (tmp_path / "undisturbed").mkdir()
    copied(embedded, tmp_path / "undisturbed")
    run(command, tmp_path / "undisturbed")
    assert after == rows_of(tmp_path / "undisturbed" / "t")
    new = "cosine" if command is SCORE else "dedup_judged"
    filled = sum(row.get(new) is not None for row in between.values())
    assert (filled > 0) == (step in ("columns:after:5", "commit:after:1", "commit:before:3", "release:before:1"))


def content(folder: Path) -> dict[str, object]:
    """What an artefact holds, less what differs between one filter and the same one again."""
    assert (beside(folder) / "manifest.json").exists()
    found: dict[str, object] = {}
    for file in [*folder.iterdir(), *beside(folder).iterdir()]:
        if file.suffix == ".parquet":
            rows = pq.read_table(file)  # with the flag where one was filled before
            found[file.name] = rows.drop_columns([name for name in rows.column_names if name == "good"]).to_pylist()
        elif file.name == "manifest.json":
            manifest = json.loads(file.read_text())
            others = ("table", "table_version", "tag", "tag_is_new", "created")
            found[file.name] = {name: value for name, value in manifest.items() if name not in others}
        else:
            found[file.name] = file.read_bytes()
    return found


def form(name: str, dataset: Path) -> list[str]:
    return {
        "parquet": FILTER,
        "webdataset": [*FILTER, "--output-format", "webdataset", "--input", str(dataset), "--shard-size", "50"],
        "flag": [*FILTER, "--flag", "good"],
    }[name]


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("parquet", "shard:before:1"),
        ("parquet", "tag:before:1"),
        ("parquet", "tag:after:1"),
        ("parquet", "move:before:1"),
        ("parquet", "move:after:1"),
        ("webdataset", "samples:after:4"),
        ("webdataset", "move:before:1"),
        ("flag", "commit:before:1"),
        ("flag", "commit:after:2"),
        ("flag", "move:before:1"),
    ],
)
def test_a_filter_killed_at_a_step(
    fatal: Siglane, tmp_path: Path, scored: Path, dataset: Path, name: str, step: str, caplog: pytest.LogCaptureFixture
) -> None:
    command = form(name, dataset)
    copied(scored, tmp_path)
    killed(fatal, command, step)
    whole(tmp_path / "t")
    is_done = step == "move:after:1"
    assert (tmp_path / "out").exists() == is_done
    left = [path.name for path in tmp_path.glob("out.partial-*")]
    assert len(left) == 1
    go_on(tmp_path / "t")
    run(command, tmp_path, code=2 if is_done else 0)
    for folder in left:
        assert f"{folder}: a killed filter left this folder; removed" in caplog.text
    assert list(tmp_path.glob("out.partial-*")) == []
    assert set(tags(tmp_path / "t")) == {json.loads((tmp_path / "out.siglane" / "manifest.json").read_text())["tag"]}
    after = whole(tmp_path / "t")
    (tmp_path / "undisturbed").mkdir()
    copied(scored, tmp_path / "undisturbed")
    run(command, tmp_path / "undisturbed")
    assert content(tmp_path / "out") == content(tmp_path / "undisturbed" / "out")
    assert after == rows_of(tmp_path / "undisturbed" / "t")


@pytest.mark.parametrize("other_came", ["before", "after"])
def test_a_state_keeps_its_name_where_another_filter_has_asked_for_it_too(
    fatal: Siglane, tmp_path: Path, scored: Path, other_came: str
) -> None:
    copied(scored, tmp_path)
    other = [*FILTER[1:], "--table", str(tmp_path / "t"), "--output", str(tmp_path / "other")]
    if other_came == "before":
        assert filter_job.main(other) == 0
    killed(fatal, FILTER, "move:before:1")
    if other_came == "after":
        assert filter_job.main(other) == 0
    go_on(tmp_path / "t")
    run(FILTER, tmp_path)
    manifests = [json.loads((tmp_path / f"{name}.siglane" / "manifest.json").read_text()) for name in ("other", "out")]
    assert tags(tmp_path / "t") == {manifest["tag"]: manifest["table_version"] for manifest in manifests}
    assert len(tags(tmp_path / "t")) == 2
    assert list(tmp_path.glob("out.partial-*")) == []


@pytest.mark.parametrize("name", ["score", "dedup", "parquet", "webdataset", "flag"])
def test_killed_again_and_again_at_random_moments(
    siglane: Siglane, tmp_path: Path, embedded: Path, scored: Path, dataset: Path, name: str
) -> None:
    is_filter = name not in ("score", "dedup")
    command = form(name, dataset) if is_filter else {"score": SCORE, "dedup": DEDUP}[name]
    before = scored if is_filter else embedded
    copied(before, tmp_path)
    moments = random.Random(name)
    for _ in range(RANDOM_KILLS):
        where = ["--output", "out"] if is_filter else []
        process = siglane.start(*command, "--table", "t", *where)
        try:
            process.communicate(timeout=moments.uniform(0.5, 4))
        except subprocess.TimeoutExpired:
            kill_process_group(process)
        if (tmp_path / "out").exists():
            assert content(tmp_path / "out")
            shutil.rmtree(tmp_path / "out")
        whole(tmp_path / "t")
    run(command, tmp_path)
    (tmp_path / "undisturbed").mkdir()
    copied(before, tmp_path / "undisturbed")
    run(command, tmp_path / "undisturbed")
    assert whole(tmp_path / "t") == rows_of(tmp_path / "undisturbed" / "t")
    if is_filter:
        assert content(tmp_path / "out") == content(tmp_path / "undisturbed" / "out")

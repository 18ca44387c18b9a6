"""Scores and signals filled in on a cluster: what one process fills in, whatever else commits or dies."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Generator, Iterator, Sequence
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import scoring, table
from pipeline.on_ray import cluster, filling
from pipeline.table import Fill, Filled, TableUri, compact
from tests.pipeline.table.test_commit import committer, some_rows
from tests.processes import Siglane
from tests.rows import rows_of
from tests.tables import in_fragments


@pytest.fixture
def connected(ray_address: str) -> Iterator[None]:
    with cluster.connect(ray_address):
        yield


@pytest.fixture
def uri(undisturbed: Path, tmp_path: Path) -> TableUri:
    """The 600 rows of the dataset in twelve fragments, without scores."""
    return in_fragments(undisturbed, tmp_path / "t", 50)


@pytest.fixture(scope="module")
def scored(undisturbed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset's table with the scores that one process gives it."""
    path = tmp_path_factory.mktemp("scored") / "t"
    shutil.copytree(f"{undisturbed}.lance", f"{path}.lance")
    list(scoring.score_table(table.parse(str(path))))
    list(scoring.fill_signal(table.parse(str(path)), "caption_length"))
    return path


def test_scores_and_signals_of_a_cluster_are_those_of_one_process(
    siglane: Siglane, uri: TableUri, scored: Path, ray_address: str
) -> None:
    score = ["score", "--table", "t", "--signal", "caption_length", "--address", ray_address]
    expected = rows_of(scored)
    pairs = sum(row["cosine"] is not None for row in expected.values())
    captions = sum(row["caption_words"] is not None for row in expected.values())
    assert 0 < pairs < captions < len(expected)
    summary = siglane(*score)
    assert (summary["scored"], summary["signals"]) == (pairs, {"caption_length": captions})
    assert rows_of(str(uri)) == expected
    version = table.open_table(uri).version
    assert siglane(*score)["scored"] == 0
    assert table.open_table(uri).version == version


@pytest.mark.usefixtures("connected")
def test_scores_beside_a_run_that_appends_and_merges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does so each time that a fragment's scores are staged and not yet committed."""
    monkeypatch.setattr(compact, "ROWS_PER_FRAGMENT", 40)
    uri = table.parse(str(tmp_path / "t"))
    writer = committer(uri)
    starts = iter(range(0, 200, 10))

    def append_and_merge() -> None:
        for start in islice(starts, 1):
            writer.commit([table.stage(uri, some_rows(start, start + 10))])
            writer.merge_fragments()

    def beside(fill: Fill, numbers: Sequence[int]) -> Generator[Filled | None, None, None]:
        for staged in filling.run(fill, numbers):
            append_and_merge()
            yield staged

    for _ in range(3):
        append_and_merge()
    scored = 0
    while now := sum(scoring.score_table(uri, run=beside)):
        scored += now
    assert scored == 200, "a merge undid scores"
    assert {row["cosine"] for row in rows_of(tmp_path / "t", ["source", "source_row", "cosine"]).values()} == {1.0}


@pytest.mark.usefixtures("connected")
def test_a_worker_that_is_killed_costs_nothing(uri: TableUri, tmp_path: Path, scored: Path) -> None:
    killed = tmp_path / "killed"

    def characters(batch: pa.RecordBatch) -> dict[str, pa.Array]:
        if not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return {"characters": pa.array([len(caption) for caption in batch["caption"].to_pylist()], pa.int32())}

    table.add_columns(uri, pa.schema([("characters", pa.int32())]))
    rows = list(table.fill_columns(uri, "test", ["caption"], "caption IS NOT NULL", characters, filling.run))
    assert killed.exists()
    expected = {place: row["caption_characters"] for place, row in rows_of(scored).items()}
    assert sum(rows) == sum(value is not None for value in expected.values())
    assert {place: row["characters"] for place, row in rows_of(str(uri)).items()} == expected


OWN = """
from __future__ import annotations
from dataclasses import dataclass
import pyarrow as pa

LETTERS = "ai"

@dataclass
class Count:
    letters: str
    FIELDS = {"letters": pa.int32()}
    READ = ("caption",)
    NEEDS_TARGET = False

    def prepare(self, context):
        return lambda batch: {"letters": pa.array(list(map(self.of, batch["caption"].to_pylist())), pa.int32())}

    def of(self, text: str) -> int:
        return sum(one in self.letters for one in text) // DIVISOR

DIVISOR = 1
count = Count(LETTERS)
"""


def test_a_signal_of_a_file_travels_to_the_workers(siglane: Siglane, uri: TableUri, ray_address: str) -> None:
    own = siglane.folder / "own.py"
    own.write_text(OWN, "utf-8")
    score = ["score", "--table", "t", "--signal", f"{own}:count", "--address", ray_address]
    filled = siglane(*score)["signals"][f"{own}:count"]
    rows = rows_of(str(uri)).values()
    assert {row["letters"] for row in rows} == {None, 2}
    assert filled == sum(row["caption"] is not None for row in rows)
    assert siglane(*score)["signals"][f"{own}:count"] == 0
    own.write_text(OWN.replace("DIVISOR = 1", "DIVISOR = 0").replace('"letters":', '"none":'), "utf-8")
    said = siglane.fails(*score, code=1)
    assert f"siglane score: signal 'own.py:count': {own} line 19: ZeroDivisionError" in said
    assert "; at the row with uid " in said


def test_a_signal_that_cannot_travel_says_so(siglane: Siglane, uri: TableUri, ray_address: str) -> None:
    own = siglane.folder / "own.py"
    own.write_text(OWN.replace("DIVISOR = 1", "import threading\nDIVISOR = threading.Lock()"), "utf-8")
    siglane("score", "--table", "t")
    said = siglane.fails("score", "--table", "t", "--signal", f"{own}:count", "--address", ray_address, code=1)
    assert "cannot be sent to the cluster: cannot pickle '_thread.lock' object; " in said


def test_a_package_that_the_workers_lack_is_named(siglane: Siglane, uri: TableUri, ray_address: str) -> None:
    """A package that the driver alone has, as a signal of a file may import."""
    (siglane.folder / "alone" / "driver_only").mkdir(parents=True)
    (siglane.folder / "alone" / "driver_only" / "__init__.py").write_text(
        "ONE = 1\n\ndef one():\n    return ONE\n", "utf-8"
    )
    own = siglane.folder / "own.py"
    own.write_text(OWN.replace("DIVISOR = 1", "from driver_only import one\nDIVISOR = one"), "utf-8")
    siglane("score", "--table", "t")
    alone = Siglane(siglane.folder, siglane.folder / "alone")
    process = alone.start("score", "--table", "t", "--signal", f"{own}:count", "--address", ray_address)
    _, err = process.communicate(timeout=240)  # Ray's workers write to it too
    assert process.returncode == 1
    said = "siglane score: a worker cannot load its part of the work: No module named 'driver_only'; install the same"
    assert said in err.splitlines()[-1]

"""3,625 real pairs of 725 photos, which may not be committed: skipped where ../shared/data is absent."""

from __future__ import annotations

import csv
import random
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.embedding import flow, plan
from pipeline.embedding.plan import EmbedOptions
from pipeline.stages import photos
from tests.conftest import SHARED_DATA
from tests.processes import Siglane, kill_process_group, wait_for_rows
from tests.rows import assert_same_rows, rows_of
from tests.samples import write_parquet

FLICKR = SHARED_DATA / "real" / "flickr8k-1000"

pytestmark = pytest.mark.skipif(not FLICKR.exists(), reason="../shared/data/real/flickr8k-1000 is not here")

PAIRS, PHOTOS = 3625, 725
PAIRS_PER_FILE = 100


@pytest.fixture(scope="module")
def flickr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pairs in 37 Parquet files, each photo's bytes in every pair it is part of."""
    with (FLICKR.parent / "pairs.csv").open(newline="", encoding="utf-8") as file:
        pairs = [(row["image"], row["caption"]) for row in csv.DictReader(file) if row["set"] == FLICKR.name]
    folder = tmp_path_factory.mktemp("flickr")
    for start in range(0, len(pairs), PAIRS_PER_FILE):
        part = pairs[start : start + PAIRS_PER_FILE]
        images = [(FLICKR / image).read_bytes() for image, _ in part]
        write_parquet(folder / f"{start:05d}.parquet", images, [caption for _, caption in part])
    return folder


@pytest.fixture(scope="module")
def undisturbed(flickr: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    summary = Siglane(folder)("embed", "--input", flickr, "--table", "t", "--model", model, "--local")
    assert summary["read"] == summary["success"] + summary["rejected"] == PAIRS
    assert summary["rejected"] == 0
    return folder / "t"


def test_ray_gives_the_uids_and_vectors_of_the_plain_loop(
    siglane: Siglane, tmp_path: Path, flickr: Path, undisturbed: Path, model: Path, ray_address: str
) -> None:
    run = ["embed", "--input", flickr, "--table", "t", "--model", model, "--address", ray_address]
    summary = siglane(*run)
    assert summary["read"] == summary["success"] + summary["rejected"] == PAIRS
    rows = rows_of(tmp_path / "t")
    assert len({row["image_sha256"] for row in rows.values()}) == PHOTOS
    assert_same_rows(rows, rows_of(undisturbed))


def test_each_photo_of_a_window_is_decoded_once(flickr: Path, model: Path) -> None:
    """Captions of a photo stand side by side, so all but those cut by a window's edge share one decoded photo."""
    planned = plan.plan(EmbedOptions(input=str(flickr), table="unwritten/t", model=str(model)))
    chunks = flow.chunk_table(planned.chunks)
    seen: Counter[str] = Counter()
    for table in planned.decode(chunks):
        pairs = table[photos.PAIRS].to_pylist()
        seen["photos"] += table.num_rows
        seen["pairs"] += sum(map(len, pairs))
    windows = sum(-(-group // 256) for group in _row_groups(flickr))
    assert seen["pairs"] == PAIRS
    assert PHOTOS <= seen["photos"] <= PHOTOS + windows


def _row_groups(folder: Path) -> list[int]:
    return [pq.read_metadata(file).num_rows for file in folder.glob("*.parquet")]


def test_three_kills_at_random_moments_end_in_the_rows_of_an_undisturbed_run(
    siglane: Siglane, tmp_path: Path, flickr: Path, undisturbed: Path, model: Path, ray_address: str
) -> None:
    run = ["embed", "--input", flickr, "--table", "t", "--model", model, "--address", ray_address]
    run += ["--commit-seconds", "0", "--batch-size", "8"]
    held = [0]
    for _ in range(3):
        process = siglane.start(*run)
        wait_for_rows(process, tmp_path / "t.lance")
        time.sleep(random.uniform(0, 0.3))
        kill_process_group(process)
        held.append(len(rows_of(tmp_path / "t", ["source", "source_row"])))
    print(f"rows held after each kill: {held}")
    assert held == sorted(set(held)), "each run gets on by its commits"
    summary = siglane(*run)
    assert summary["skipped"] + summary["read"] == PAIRS
    assert_same_rows(rows_of(tmp_path / "t"), rows_of(undisturbed))


def test_a_folder_of_the_photos_gives_a_row_for_each(siglane: Siglane, tmp_path: Path, model: Path) -> None:
    """The folder has no captions beside its photos: they are embedded alone."""
    summary = siglane("embed", "--input", FLICKR / "data", "--table", "t", "--model", model, "--local")
    assert (summary["read"], summary["success"]) == (PHOTOS, PHOTOS)

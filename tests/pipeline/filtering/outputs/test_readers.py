"""Other programs read an output's folder as it is: nothing but data lies in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import polars
import pyarrow.parquet as pq
import pytest

from pipeline import table
from pipeline.filtering import Selection, filter_table, one_cut, written_as
from pipeline.sources import SourceOptions
from tests.embedding import embed
from tests.samples import jpeg, write_parquet

PAIRS = 12
IMAGES = [jpeg(number) for number in range(PAIRS)]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """A folder with an output of every pair, in each format."""
    folder = tmp_path_factory.mktemp("readers")
    write_parquet(folder / "in.parquet", IMAGES, [f"caption {number}" for number in range(PAIRS)])
    embed(folder / "in.parquet", folder / "t", model, score=True)
    opened = table.open_table(table.parse(str(folder / "t")))
    every, source = Selection(one_cut("cosine", min=-1)), SourceOptions(input=(str(folder / "in.parquet"),))
    filter_table(opened, every, folder / "columns")
    filter_table(opened, every, folder / "images", written_as("parquet", source, with_images=True))
    filter_table(opened, every, folder / "tars", written_as("webdataset", source, shard_size=5))
    filter_table(opened, every, folder / "datacomp", written_as("datacomp"))
    return folder


@pytest.fixture(autouse=True)
def without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hugging Face's datasets look for modules on the Hub, and cache what they read."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path))


def by_datasets(folder: Path, form: str = "parquet", streaming: bool = False) -> list[dict[str, object]]:
    import datasets

    cache = str(folder.parent / "cache")
    return list(datasets.load_dataset(form, data_dir=str(folder), split="train", streaming=streaming, cache_dir=cache))


READERS: dict[str, Callable[[Path], int]] = {
    "pandas": lambda folder: len(pd.read_parquet(folder)),
    "polars": lambda folder: polars.read_parquet(folder).height,
    "polars, lazily": lambda folder: polars.scan_parquet(folder).collect().height,
    "pyarrow": lambda folder: pq.read_table(folder).num_rows,
    "duckdb": lambda folder: len(duckdb.sql(f"SELECT uid FROM '{folder}/*.parquet'").fetchall()),
    "datasets": lambda folder: len(by_datasets(folder)),
    "datasets, as a stream": lambda folder: len(by_datasets(folder, streaming=True)),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("output", ["columns", "images", "datacomp/metadata"])
def test_a_folder_of_parquet_is_read_as_it_is(outputs: Path, output: str, reader: str) -> None:
    assert READERS[reader](outputs / output) == PAIRS


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("output", ["tars", "tars.siglane/*.tar"])
def test_a_folder_of_tars_is_read_as_it_is(outputs: Path, output: str, streaming: bool) -> None:
    """The links in img2dataset's layout too, by their names: that folder holds statistics."""
    import datasets

    folder, _, names = output.partition("/")
    named = {"data_dir": str(outputs / folder)} if not names else {"data_files": str(outputs / output)}
    read = datasets.load_dataset(
        "webdataset", split="train", streaming=streaming, cache_dir=str(outputs / "cache"), **named
    )
    samples = list(read)
    assert sorted(sample["txt"] for sample in samples) == sorted(f"caption {number}" for number in range(PAIRS))
    assert all(sample["jpg"].size == (40, 30) for sample in samples)

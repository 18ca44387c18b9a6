"""What every output of a filter keeps to. A new module in `filtering/outputs` is tested here as it is.

READ_BACK reads an output as its own readers do. Of a format that is not in it, only the folder and the manifest are
looked at.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import webdataset
import yaml
from pydantic import BaseModel, ValidationError

from jobs import filter  # noqa: A004
from pipeline import scoring, table
from pipeline.filtering import Filtered, Manifest, Selection, filter_table, one_cut, outputs, written_as
from pipeline.sources import SourceOptions
from tests.embedding import embed
from tests.rows import rows_of
from tests.samples import jpeg, write_parquet

PAIRS = 12


def uids_of_parquet(folder: Path) -> list[str]:
    rows = pq.ParquetDataset(sorted(folder.glob("*.parquet"))).read().to_pylist()
    assert all(row["image"] in IMAGES for row in rows if "image" in row)
    return [row["uid"] for row in rows]


def uids_of_tars(folder: Path) -> list[str]:
    samples = list(webdataset.WebDataset(sorted(map(str, folder.glob("*.tar"))), shardshuffle=False))
    assert all(sample["jpg"] in IMAGES for sample in samples)
    return [json.loads(sample["json"])["uid"] for sample in samples]


def uids_of_subset(folder: Path) -> list[str]:
    """As DataComp's resharder has them: pairs of the first and the last half, sorted."""
    subset = np.load(folder / "subset.npy")
    assert subset.dtype == np.dtype("u8,u8")
    assert np.array_equal(subset, np.sort(subset))
    return [f"{first:016x}{last:016x}" for first, last in subset.tolist()]


IMAGES = [jpeg(number) for number in range(PAIRS)]
READ_BACK: dict[str, Callable[[Path], list[str]]] = {
    "parquet": uids_of_parquet,
    "webdataset": uids_of_tars,
    "datacomp": uids_of_subset,
}


def ways() -> list[tuple[str, dict[str, Any]]]:
    """Each format with its defaults, and with each of its switches."""
    return [
        (name, options)
        for name, found in outputs().items()
        for options in [{}, *({switch: True} for switch in switches(found.Options))]
    ]


def switches(options: type[BaseModel]) -> list[str]:
    return [name for name, field in options.model_fields.items() if field.annotation is bool]


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """A folder with an input of pairs and their scored table."""
    folder = tmp_path_factory.mktemp("outputs")
    write_parquet(folder / "in.parquet", IMAGES, [f"caption {number}" for number in range(PAIRS)], row_group_size=5)
    embed(folder / "in.parquet", folder / "t", model)
    list(scoring.score_table(table.parse(str(folder / "t"))))
    return folder


def write(embedded: Path, output: Path, least: float, name: str, options: dict[str, Any]) -> Filtered:
    found = outputs()[name]
    reads_images = found.reads_images(found.Options(**options))
    source = SourceOptions(input=(str(embedded / "in.parquet"),)) if reads_images else None
    opened = table.open_table(table.parse(str(embedded / "t")))
    form = written_as(name, source, **options)
    return filter_table(opened, Selection(one_cut("cosine", min=least)), output, form)


@pytest.mark.parametrize(("name", "options"), ways())
def test_what_is_kept_is_written_and_read_back(
    embedded: Path, tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    rows = list(rows_of(embedded / "t").values())
    least = sorted(row["cosine"] for row in rows)[4]
    expected = sorted(row["uid"] for row in rows if row["cosine"] >= least)
    kept = write(embedded, tmp_path / "out", least, name, options)
    manifest = Manifest.read(tmp_path / "out")
    assert (manifest.output_format, manifest.kept, kept.kept) == (name, len(expected), len(expected))
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert written
    assert all(path.stat().st_size > 0 for path in written)
    if name in READ_BACK:
        assert sorted(READ_BACK[name](tmp_path / "out")) == expected


@pytest.mark.parametrize(("name", "options"), ways())
def test_nothing_can_be_written_too(embedded: Path, tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    write(embedded, tmp_path / "out", 2.0, name, options)
    assert Manifest.read(tmp_path / "out").kept == 0


@pytest.mark.parametrize("name", outputs())
def test_a_format_says_what_it_is_and_what_its_options_are(name: str) -> None:
    found = outputs()[name]
    assert found.HELP
    assert found.Options.model_config["frozen"]
    assert all(field.description for field in found.Options.model_fields.values())
    found.Options()  # each has a default
    with pytest.raises(ValidationError, match="no_such_option"):
        found.Options(no_such_option=1)
    for other in outputs().values():
        for option in found.Options.model_fields.keys() & other.Options.model_fields.keys():
            ours, theirs = (options.model_fields[option] for options in (found.Options, other.Options))
            assert (ours.annotation, ours.default) == (theirs.annotation, theirs.default)


@pytest.mark.parametrize(("name", "options"), ways())
def test_the_command_takes_the_options_of_the_format_and_refuses_those_of_others(
    name: str, options: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    found = outputs()[name]
    run = ["--table", "t", "--output", "out", "--min", "0", "--output-format", name, "--print-config"]
    run += [f"--{option.replace('_', '-')}" for option in options]
    reads_images = found.reads_images(found.Options(**options))
    assert filter.main([*run, *(["--input", "in"] if reads_images else [])]) == 0
    printed = yaml.safe_load(capfd.readouterr().out)
    assert printed["output_format"] == name
    assert {option: printed[option] for option in found.Options.model_fields} == found.Options(**options).model_dump()
    assert filter.main([*run, *([] if reads_images else ["--input", "in"])]) == 2
    assert "--input" in capfd.readouterr().err
    for other in outputs().values():
        for switch in set(switches(other.Options)) - found.Options.model_fields.keys():
            flag = f"--{switch.replace('_', '-')}"
            assert filter.main([*run, flag, "--input", "in"]) == 2
            assert f"{flag} is only for --output-format" in capfd.readouterr().err

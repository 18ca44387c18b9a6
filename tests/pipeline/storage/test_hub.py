"""Input from a dataset of a hub."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import hub
from tests.embedding import embed
from tests.processes import Siglane
from tests.rows import Rows, assert_same_rows, rows_of
from tests.samples import jpeg, write_parquet, write_photos


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two Parquet files of five pairs below `data`, and what else lies in every repository."""
    folder = tmp_path / "repository"
    for file in range(2):
        numbers = range(file * 5, file * 5 + 5)
        captions = [f"caption {number}" for number in numbers]
        write_parquet(folder / "data" / f"{file}.parquet", list(map(jpeg, numbers)), captions)
    (folder / "README.md").write_text("# A dataset")
    (folder / ".gitattributes").write_text("*.parquet filter=lfs\n")
    return folder


def test_a_dataset_of_a_hub_gives_the_rows_of_local_files(
    repository: Path, siglane: Siglane, tmp_path: Path, model: Path
) -> None:
    embed(repository, tmp_path / "local", model)
    embed(f"{repository}/data/*.parquet", tmp_path / "local-pattern", model)
    run = ["embed", "--model", model, "--local"]
    with hub.hub(repository):
        said = "".join(siglane.start(*run, "--input", hub.ADDRESS, "--table", "t", "--json").communicate(timeout=240))
        assert '"read": 10' in said
        assert not [secret for secret in (hub.TOKEN, hub.SIGNATURE, "HTTP Request") if secret in said]
        siglane(*run, "--input", f"{hub.ADDRESS}@main/data/*.parquet", "--table", "pattern")
        assert siglane(*run, "--input", hub.ADDRESS, "--table", "t")["skipped"] == 10
    assert_same_rows(by_size(tmp_path / "t"), by_size(tmp_path / "local"))
    assert_same_rows(by_size(tmp_path / "pattern"), by_size(tmp_path / "local-pattern"))


def test_an_image_of_a_hub_that_has_changed_in_its_old_size_is_refused(
    siglane: Siglane, tmp_path: Path, model: Path
) -> None:
    photos = write_photos(tmp_path / "repository" / "photos", 3)
    run = ["embed", "--input", f"{hub.ADDRESS}/photos", "--table", "t", "--model", model, "--local"]
    with hub.hub(photos.parent):
        assert siglane(*run)["read"] == 3
        caption = photos / "photo0001.txt"
        caption.write_text(caption.read_text().replace("blue", "gray"))
        process = siglane.start(*run)
        _, err = process.communicate(timeout=240)
    assert process.returncode == 1, err
    assert "photo0001.jpg: changed since it was embedded" in err.splitlines()[-1]


def test_a_dataset_that_the_token_does_not_open_is_one_line(
    repository: Path, siglane: Siglane, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ["embed", "--input", hub.ADDRESS, "--table", "t", "--model", model, "--local"]
    with hub.hub(repository):
        monkeypatch.setenv("HF_TOKEN", "hf_anothertoken0001")
        line = siglane.fails(*run, code=1)
    assert "set HF_TOKEN correctly in the environment" in line
    assert "hf_anothertoken0001" not in line


def by_size(table: Path) -> Rows:
    """A table's rows; of the versions of their sources only the size, which is the same wherever they lie."""
    rows = rows_of(table)
    for row in rows.values():
        row["source_version"] = row["source_version"].partition("-")[0]
    return rows

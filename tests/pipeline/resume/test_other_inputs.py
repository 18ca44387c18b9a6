"""A second input whose files have the names of the first one's, and rows that another tool has doubled."""

from __future__ import annotations

from pathlib import Path

import lance
import pyarrow as pa
import pytest

from pipeline import table
from pipeline.errors import InputError
from pipeline.filtering import Selection, filter_table, one_cut, written_as
from pipeline.sources import SourceOptions
from pipeline.verify import VerifyOptions, verify
from tests.embedding import embed
from tests.processes import Siglane
from tests.rows import rows_of
from tests.samples import jpeg, write_parquet


def two_files(folder: Path, first: int) -> Path:
    for name, rows in (("000", range(3)), ("001", range(3, 5))):
        images = [jpeg(first + row) for row in rows]
        write_parquet(folder / f"{name}.parquet", images, [f"{first + row}" for row in rows])
    return folder


def test_another_input_with_the_same_names_is_told_apart_from_a_change(tmp_path: Path, model: Path) -> None:
    one, two = two_files(tmp_path / "one", 0), two_files(tmp_path / "two", 50)
    embed(one, tmp_path / "t", model)
    with pytest.raises(
        InputError, match=r"none of its files is as it was: if this is another input .* --source-prefix"
    ):
        embed(two, tmp_path / "t", model)
    before = rows_of(tmp_path / "t")
    assert embed(two, tmp_path / "t", model, source_prefix="second/set").total() == 5
    assert embed(two, tmp_path / "t", model, source_prefix="second/set").total() == 0
    assert embed(one, tmp_path / "t", model).total() == 0
    found = rows_of(tmp_path / "t")
    assert {place: row["caption"] for place, row in found.items()} == {
        **{("000.parquet", row): f"{row}" for row in range(3)},
        **{("001.parquet", row): f"{row + 3}" for row in range(2)},
        **{("second/set/000.parquet", row): f"{row + 50}" for row in range(3)},
        **{("second/set/001.parquet", row): f"{row + 53}" for row in range(2)},
    }
    assert len({row["uid"] for row in found.values()}) == 10
    assert all(found[place]["uid"] == row["uid"] for place, row in before.items())


def test_a_single_file_that_changed_may_be_either(tmp_path: Path, model: Path) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", [jpeg(0)], ["zero"])
    embed(tmp_path / "in", tmp_path / "t", model)
    write_parquet(tmp_path / "in" / "a.parquet", [jpeg(1), jpeg(2)], ["one", "two"])
    with pytest.raises(InputError, match=r"give --replace-changed to embed it again .*; if this is another input"):
        embed(tmp_path / "in", tmp_path / "t", model)


def test_images_of_a_prefixed_input_are_found_again(tmp_path: Path, model: Path) -> None:
    embed(two_files(tmp_path / "two", 50), tmp_path / "t", model, source_prefix="x", score=True)
    source = SourceOptions(input=(str(tmp_path / "two"),), source_prefix="x")
    opened = table.open_table(table.parse(str(tmp_path / "t")))
    form = written_as("parquet", source, with_images=True)
    assert filter_table(opened, Selection(one_cut("cosine", min=-1)), tmp_path / "out", form, tag=False).kept == 5
    report = verify(VerifyOptions(table=str(tmp_path / "t"), input=source.input, source_prefix="x", sample=5))
    assert (report.problems, report.sampled) == ([], 5)


@pytest.mark.parametrize("prefix", ["", "/a", "a/", "../a", "a//b", "."])
def test_a_prefix_that_is_no_path_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="give a name"):
        SourceOptions(input=("in",), source_prefix=prefix)


def test_a_lance_dataset_takes_a_prefix(tmp_path: Path, model: Path) -> None:
    lance.write_dataset(pa.table({"image": [jpeg(0), jpeg(1)], "caption": ["a", "b"]}), tmp_path / "x.lance")
    assert embed(tmp_path / "x.lance", tmp_path / "t", model, source_prefix="x").total() == 2


def test_rows_that_another_tool_doubled_are_named_by_the_next_run(
    tmp_path: Path, model: Path, siglane: Siglane, caplog: pytest.LogCaptureFixture
) -> None:
    embed(two_files(tmp_path / "one", 0), tmp_path / "t", model)
    dataset = lance.dataset(str(tmp_path / "t.lance"))
    lance.write_dataset(
        dataset.to_table(filter="source = '000.parquet' AND source_row < 2"), dataset.uri, mode="append"
    )
    assert embed(tmp_path / "one", tmp_path / "t", model).total() == 0
    assert "has 5 rows of 000.parquet, which holds 3 samples" in caplog.text
    summary = siglane("embed", "--input", "one", "--table", "t", "--model", model, "--local")
    assert (summary["skipped"], summary["dropped"]) == (5, 0)
    siglane("verify", "--table", "t", "--repair")
    assert lance.dataset(str(tmp_path / "t.lance")).count_rows() == 5

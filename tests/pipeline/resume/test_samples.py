"""A sample that is made larger, of sources in which how many rows there are does not tell their numbers."""

from __future__ import annotations

import json
from pathlib import Path

import lance
import pyarrow as pa

from pipeline.sample import is_sampled
from tests.embedding import embed
from tests.rows import rows_of
from tests.samples import jpeg


def joins_at(source: str, row: int) -> float:
    """The fraction from which on a row belongs to the sample."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if is_sampled(source, row, middle) else (middle, high)
    return high


def test_a_larger_sample_of_a_fragment_takes_in_rows_numbered_beyond_its_count(tmp_path: Path, model: Path) -> None:
    """Rows 0 and 1 of six are deleted; of the places 0 to 3 the sample has all that the table lacks in neither run."""
    for attempt in range(200):  # Lance gives each file a name by chance
        dataset = tmp_path / f"{attempt}.lance"
        images = pa.array([jpeg(n) for n in range(6)], pa.binary())
        lance.write_dataset(pa.table({"image": images, "caption": [f"c{n}" for n in range(6)]}), dataset)
        source = f"data/{lance.dataset(dataset).get_fragments()[0].metadata.files[0].path}"
        at = [joins_at(source, row) for row in range(6)]
        if min(at[2:5]) < at[5] < min(at[:2]):
            break
    lance.dataset(dataset).delete("caption IN ('c0', 'c1')")
    embed(dataset, tmp_path / "t", model, sample_fraction=at[5] - 1e-9)
    before = rows_of(tmp_path / "t").keys()
    assert before
    assert (source, 5) not in before
    embed(dataset, tmp_path / "t", model, sample_fraction=at[5] + 1e-9)
    assert rows_of(tmp_path / "t").keys() == {*before, (source, 5)}


def test_a_larger_sample_of_a_jsonl_takes_in_lines_whose_bytes_lie_beyond_their_count(
    tmp_path: Path, model: Path
) -> None:
    """The line that states how many there are is in the first sample, the second one is not."""
    records = [json.dumps({"url": f"{n}.jpg", "caption": f"c{n}"}) + "\n" for n in range(3)]
    second, third = len(records[0]), len(records[0] + records[1])
    name = next(
        name
        for name in (f"{n}.jsonl" for n in range(1000))
        if joins_at(name, third) < (at := joins_at(name, second)) < min(joins_at(name, row) for row in (0, 1, 2))
    )
    (tmp_path / "in").mkdir()
    for n in range(3):
        (tmp_path / "in" / f"{n}.jpg").write_bytes(jpeg(n))
    (tmp_path / "in" / name).write_text("".join(records))
    embed(tmp_path / "in" / name, tmp_path / "t", model, sample_fraction=at - 1e-9)
    assert rows_of(tmp_path / "t").keys() == {(name, third)}
    embed(tmp_path / "in" / name, tmp_path / "t", model, sample_fraction=at + 1e-9)
    assert rows_of(tmp_path / "t").keys() == {(name, second), (name, third)}

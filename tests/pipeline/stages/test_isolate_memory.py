"""What would take all memory is cut off in the process that reads and decodes it, and costs one sample."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.processes import ROOT, Siglane
from tests.rows import rows_of
from tests.samples import jpeg, large_png, write_parquet


def test_an_image_and_a_parquet_page_that_take_too_much_memory_are_rejected_alone(
    siglane: Siglane, tmp_path: Path, model: Path
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", [jpeg(0), large_png(8000), jpeg(1)], ["a", "b", "c"])
    page = pa.table({"image": pa.array([bytes(200 << 20)], pa.binary()), "caption": ["d"]})
    pq.write_table(page, tmp_path / "in" / "b.parquet", compression="zstd", use_dictionary=False)
    write_parquet(tmp_path / "in" / "c.parquet", [jpeg(2)], ["e"])

    run = ["embed", "--input", "in", "--table", "t", "--model", model, "--local", "--max-reject-fraction", 0.5]
    summary = siglane(*run, "--sample-gigabytes", 0.2)

    assert (summary["success"], summary["rejected_by_reason"]) == (3, {"crash": 1, "bad-parquet": 1})
    rows = rows_of(tmp_path / "t")
    image, row = rows["a.parquet", 1], rows["b.parquet", 0]
    assert (image["stage"], image["reason"]) == ("decode", "crash")
    assert image["error_message"] == "decoding the image needed more memory than --sample-gigabytes allows, twice"
    assert "row group 0: reading needs more memory than --sample-gigabytes allows" in str(row["error_message"])


# Prints the bytes that the process which decodes has held at the most. One CPU more makes one thread more of it.
PEAK = """
import os, resource, sys
os.sched_getaffinity = lambda _: set(range(int(sys.argv[1])))
from jobs.cli import main
assert main(["embed", *sys.argv[2:]]) == 0
from pipeline.stages.isolate import end_child
end_child()
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10)
"""


def test_several_threads_decode_one_large_image_at_a_time(tmp_path: Path, model: Path) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", [large_png(side) for side in range(6100, 6103)], list("abc"))

    def peak(cpus: int) -> int:
        run = ["--input", tmp_path / "in", "--table", tmp_path / f"t{cpus}", "--model", model, "--local"]
        ran = subprocess.run([sys.executable, "-c", PEAK, str(cpus), *run], capture_output=True, cwd=ROOT, check=True)
        return int(ran.stdout)

    assert peak(3) < 1.3 * peak(1)

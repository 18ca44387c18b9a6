"""What it brings a filter to keep the memory that it frees, which glibc by itself gives back to the system.

    python -m benchmarks.freed_memory [IMAGES] [KILOBYTES]

Makes the input and the table of `benchmarks.export`, of so many images (10,000) of so many kilobytes (100), and exports
them as WebDataset, each time in a process of its own: as the command does it, and with glibc as it is. The two take
turns, nine times each.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.export import write_table, write_tars
from pipeline import processes, schema, table
from pipeline.filtering import Selection, filter_table, one_cut, written_as
from pipeline.sources import SourceOptions

ROUNDS = 9
WAYS = ("kept", "given_back")


def export(way: str, folder: Path) -> None:
    """Prints what one export took, as JSON."""
    if way == "kept":
        processes.keep_freed_memory()
    form = written_as("webdataset", SourceOptions(input=(str(folder / "tars"),)))
    everything = Selection(one_cut(schema.COSINE, min=-1.0))
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    filter_table(table.open_table(table.parse(str(folder / "t"))), everything, folder / "exported", form, tag=False)
    after = resource.getrusage(resource.RUSAGE_SELF)
    figures = {
        "seconds": time.perf_counter() - started,
        "user_seconds": after.ru_utime - before.ru_utime,
        "system_seconds": after.ru_stime - before.ru_stime,
        "page_faults": after.ru_minflt - before.ru_minflt,
        "peak_mib": after.ru_maxrss / 1024,
    }
    sys.stdout.write(json.dumps(figures))


def main(images: int = 10_000, kilobytes: int = 100) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tars").mkdir()
        write_table(
            table.parse(str(folder / "t")), folder / "tars", write_tars(folder / "tars", images, kilobytes * 1000)
        )
        taken: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for number in range(ROUNDS):
            for way in WAYS[:: 1 if number % 2 else -1]:
                shutil.rmtree(folder / "exported", ignore_errors=True)
                os.sync()
                command = [sys.executable, "-m", "benchmarks.freed_memory", "--one", way, name]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
                taken[way].append(json.loads(done.stdout))
    medians = {
        way: {figure: round(statistics.median(run[figure] for run in runs), 3) for figure in runs[0]}
        for way, runs in taken.items()
    }
    kept, given_back = (medians[way] for way in WAYS)
    ratios = {figure: round(kept[figure] / given_back[figure], 3) for figure in kept}
    print(json.dumps({"images": images, "kilobytes": kilobytes, **medians, "kept_by_given_back": ratios}, indent=2))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        export(sys.argv[2], Path(sys.argv[3]))
    else:
        main(*map(int, sys.argv[1:]))

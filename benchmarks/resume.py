"""How long a run takes to find that all is done, and what memory: the whole command, and its parts.

    python -m benchmarks.resume [ROWS] [SOURCES] [FOLDER]

Makes a finished table of so many rows in FOLDER (a temporary one where it is not given; one that is there is taken as
it is), and runs `siglane embed --local` on it three times. Each figure is the median.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks import finished_table
from benchmarks.finished_table import FinishedRows, in_groups
from pipeline import storage, table
from pipeline.table import Committer

ROWS_PER_FRAGMENT = 65_536
FRAGMENTS_PER_COMMIT = 16
REPEATS = 3


def make(folder: Path, total: int, sources: int) -> None:
    finished_table.write_model(folder / "model")
    finished_table.write_input(folder / "input", sources)
    uri = table.parse(str(folder / "t"))
    rows = FinishedRows(folder / "model", folder / "input", total // sources)
    writer, staged = None, []
    for fragment in in_groups(iter(rows), ROWS_PER_FRAGMENT):
        writer = writer or Committer(uri, fragment.schema, None)
        staged.append(table.stage(uri, fragment))
        if len(staged) == FRAGMENTS_PER_COMMIT:
            writer.commit(staged)
            staged = []
    assert writer is not None
    writer.commit(staged)
    writer.merge_fragments(run_is_over=True)


def command(folder: Path) -> dict[str, float]:
    """One run of the command on the finished input: it must find every row there."""
    places = (("--input", "input"), ("--table", "t"), ("--model", "model"))
    summary, spent = siglane("embed", "--local", *(part for name, at in places for part in (name, str(folder / at))))
    assert summary["read"] == 0
    return {"rows": summary["skipped"], **{f"command_{name}": figure for name, figure in spent.items()}}


def siglane(*arguments: str) -> tuple[dict[str, Any], dict[str, float]]:
    """Runs a command; gives its summary, and what it took."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "jobs.cli", *arguments, "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    peak = 0
    while True:
        peak = max(peak, peak_rss_kb(process.pid))
        ended, status, used = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        time.sleep(0.02)
    seconds = time.perf_counter() - started
    assert status == 0
    return json.loads(process.stdout.read()), {
        "seconds": seconds,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_rss_mb": peak / 1024,
    }


def peak_rss_kb(pid: int) -> int:
    """The most memory that a process has held so far; 0 once it has ended. (rusage counts its parent's too.)"""
    status = Path(f"/proc/{pid}/status").read_text()
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0)


def parts(folder: str, results: Any) -> None:
    """Seconds of listing, opening and reading the ledger, in a process of its own; sends them to `results`."""
    uri = table.parse(f"{folder}/t")
    moments = [time.perf_counter()]
    storage.list_files(f"{folder}/input")
    moments.append(time.perf_counter())
    opened = table.open_table(uri)
    moments.append(time.perf_counter())
    cpu = time.process_time()
    table.read_ledger(opened)
    moments.append(time.perf_counter())
    listing, opening, reading = (later - earlier for earlier, later in pairwise(moments))
    results.send(
        {
            "listing_seconds": listing,
            "open_seconds": opening,
            "ledger_seconds": reading,
            "ledger_cpu_seconds": time.process_time() - cpu,
            "ledger_peak_rss_mb": peak_rss_kb(os.getpid()) / 1024,
        }
    )


def _apart(folder: Path) -> dict[str, float]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=parts, args=(str(folder), theirs))
    process.start()
    found: dict[str, float] = ours.recv()
    process.join()
    return found


def measure(folder: Path) -> dict[str, float]:
    opened = table.open_table(table.parse(str(folder / "t")))
    rows = [fragment.metadata.num_rows for fragment in opened.lance.get_fragments()]
    runs = [command(folder) | _apart(folder) for _ in range(REPEATS)]
    medians = {name: round(statistics.median(run[name] for run in runs), 3) for name in runs[0]}
    return medians | {"fragments": len(rows), "smallest_fragment_rows": min(rows), "versions": opened.version}


def main(total: str = "10000000", sources: str = "1000", folder: str | None = None) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(folder or temporary)
        if not (place / "t.lance").exists():
            make(place, int(total), int(sources))
        print(json.dumps(measure(place), indent=2))


if __name__ == "__main__":
    main(*sys.argv[1:])

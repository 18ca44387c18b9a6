"""What many sources and many commits cost: planning, a commit early and late, the table's files, and a resume.

    python -m benchmarks.commits [SOURCES] [COMMITS] [ROWS_PER_COMMIT] [FOLDER]

Commits so many small fragments one after another, and merges them as a run does; then runs `siglane embed` on what is
there. A FOLDER that is given is kept.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import finished_table, resume
from benchmarks.finished_table import FinishedRows, in_groups
from pipeline import table
from pipeline.table import Committer


def commit_all(folder: Path, rows: FinishedRows, rows_per_commit: int) -> tuple[list[float], list[float]]:
    """Seconds of each commit, and of each look for fragments to merge, with the merge where there was one."""
    uri = table.parse(str(folder / "t"))
    writer = None
    commits, merges = list[float](), list[float]()
    for group in in_groups(iter(rows), rows_per_commit):
        writer = writer or Committer(uri, group.schema, None)
        staged = table.stage(uri, group)
        moments = [time.perf_counter()]
        writer.commit([staged])
        moments.append(time.perf_counter())
        writer.merge_fragments()
        moments.append(time.perf_counter())
        commits.append(moments[1] - moments[0])
        merges.append(moments[2] - moments[1])
    assert writer is not None
    writer.merge_fragments(run_is_over=True)
    return commits, merges


def files(folder: Path) -> dict[str, Any]:
    """How many files each folder of the table holds, and how large they are together."""
    found = {}
    for part in ("_versions", "_transactions", "data"):
        sizes = [file.stat().st_size for file in (folder / "t.lance" / part).iterdir()]
        found[part] = {"files": len(sizes), "mb": round(sum(sizes) / 1e6, 1), "largest_kb": round(max(sizes) / 1e3, 1)}
    return found


def milliseconds(times: Sequence[float], over: int = 100) -> dict[str, float]:
    """Medians of the first and of the last so many, and the longest."""
    return {
        "first": round(1000 * statistics.median(times[:over]), 1),
        "last": round(1000 * statistics.median(times[-over:]), 1),
        "longest": round(1000 * max(times), 1),
        "total_seconds": round(sum(times), 1),
    }


def measure(folder: Path, sources: int, commits: int, rows_per_commit: int) -> dict[str, Any]:
    finished_table.write_model(folder / "model")
    finished_table.write_input(folder / "input", sources)
    rows = FinishedRows(folder / "model", folder / "input", commits * rows_per_commit // sources)
    commit_times, merge_times = commit_all(folder, rows, rows_per_commit)
    return {
        "sources": sources,
        "commits": len(commit_times),
        "commit_ms": milliseconds(commit_times),
        "merge_ms": milliseconds(merge_times),
        "files": files(folder),
        "resume": resume.measure(folder),
    }


def main(sources: str = "100000", commits: str = "10000", rows: str = "1000", folder: str | None = None) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(folder or temporary)
        print(json.dumps(measure(place, int(sources), int(commits), int(rows)), indent=2))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""What memory a run holds over its time: driver, encoders, readers and the children that decode for them.

    python -m benchmarks.memory [ROWS] [ray|local] [PLOT.png]

Embeds so many synthetic images of 32x32 pixels with the smallest model, looks at the process tree every half second,
prints figures and draws a plot. Ray's object store is shared memory that every process maps, and is a line of its own.
"""

from __future__ import annotations

import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from benchmarks import finished_table

ROWS_PER_FILE, ROWS_PER_GROUP = 10_000, 1_000
SAMPLE_SECONDS = 0.5
ROLES = (
    ("pipeline.stages.child", "decoding children"),
    ("ray::MapWorker", "encoders"),
    ("ray::", "readers and writers"),
    ("jobs.cli", "driver"),
)
"""by what a command line holds, the first that fits; Ray's own servers are none of them"""
STORE = "object store, shared"
COLOURS = ("#c0392b", "#2471a3", "#1e8449", "#b7950b", "#7d3c98")

Sample = dict[str, float]
"""MB of the largest process of each role"""


def write_input(folder: Path, rows: int) -> None:
    """Parquet files of distinct JPEGs of 32x32 pixels with a caption each."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(3)
    for first in range(0, rows, ROWS_PER_FILE):
        numbers = range(first, min(rows, first + ROWS_PER_FILE))
        table = pa.table({"image": [_jpeg(random) for _ in numbers], "caption": [f"picture {n}" for n in numbers]})
        pq.write_table(table, folder / f"{first:08d}.parquet", ROWS_PER_GROUP)


def _jpeg(random: np.random.Generator) -> bytes:
    file = io.BytesIO()
    Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(file, "JPEG")
    return file.getvalue()


def watched(command: Sequence[str]) -> tuple[dict[str, object], list[tuple[float, Sample]]]:
    """Runs a command to its end; gives its summary, and what its processes held, by second."""
    started, samples = time.monotonic(), list[tuple[float, Sample]]()
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            samples.append((time.monotonic() - started, _memory_below(process.pid)))
            time.sleep(SAMPLE_SECONDS)
        assert process.returncode == 0, f"the run ended with {process.returncode}"
        out.seek(0)
        return json.loads(out.read()), samples


def _memory_below(root: int) -> Sample:
    held: Sample = defaultdict(float)
    for pid in _tree(root):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        except (FileNotFoundError, ProcessLookupError):
            continue
        if "VmRSS" not in status:  # it is ending
            continue
        rss, shared = (int(status[name].split()[0]) / 1024 for name in ("VmRSS", "RssShmem"))
        role = next((role for text, role in ROLES if text in command), None)
        if role is not None:
            held[role] = max(held[role], rss - shared)
        held[STORE] = max(held[STORE], shared)
    return dict(held)


def _tree(root: int) -> Iterator[int]:
    children = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            except (FileNotFoundError, ProcessLookupError):
                continue
            children[int(parent)].append(int(entry.name))
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting += children[pid]


def figures(samples: Sequence[tuple[float, Sample]]) -> dict[str, dict[str, float]]:
    """Of each role: the median MB in the second quarter of the run and in its last, and the peak."""
    found = {}
    for role in _roles(samples):
        values = [sample.get(role, 0.0) for _, sample in samples]
        quarter = len(values) // 4
        second, last = values[quarter : 2 * quarter], values[3 * quarter :]
        found[role] = {
            "second_quarter_mb": round(statistics.median(second), 1),
            "last_quarter_mb": round(statistics.median(last), 1),
            "peak_mb": round(max(values), 1),
        }
    return found


def _roles(samples: Sequence[tuple[float, Sample]]) -> list[str]:
    seen = {role for _, sample in samples for role in sample}
    return [role for role in [*dict(map(reversed, ROLES)), STORE] if role in seen]  # type: ignore[arg-type]


def plot(samples: Sequence[tuple[float, Sample]], file: Path, title: str) -> None:
    """A line for each role: MB of its largest process over the seconds of the run."""
    width, height, left, top, right, bottom = 900, 420, 60, 40, 200, 40
    seconds = samples[-1][0]
    highest = max(value for _, sample in samples for value in sample.values())
    step = next(step for step in (50, 100, 200, 250, 500, 1000, 2000, 5000) if highest / step <= 8)
    ceiling = (highest // step + 1) * step
    picture = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(picture)

    def place(second: float, megabytes: float) -> tuple[float, float]:
        across = left + second / seconds * (width - left - right)
        return across, height - bottom - megabytes / ceiling * (height - top - bottom)

    draw.text((left, 12), title, "black")
    for megabytes in range(0, int(ceiling) + 1, step):
        draw.line([place(0, megabytes), place(seconds, megabytes)], "#dddddd")
        draw.text((10, place(0, megabytes)[1] - 6), f"{megabytes} MB", "black")
    for part in range(5):
        second = seconds * part / 4
        draw.text((place(second, 0)[0] - 8, height - bottom + 8), f"{second:.0f} s", "black")
    for index, role in enumerate(_roles(samples)):
        colour = COLOURS[index]
        draw.line([place(second, sample.get(role, 0.0)) for second, sample in samples], colour, 2)
        draw.text((width - right + 12, top + 18 * index), role, colour)
    picture.quantize(32).save(file, optimize=True)


def main(rows: str = "200000", engine: str = "ray", file: str = "memory.png") -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        finished_table.write_model(folder / "model")
        write_input(folder / "input", int(rows))
        command = [sys.executable, "-m", "jobs.cli", "embed", "--json"]
        for name, place in (("--input", "input"), ("--table", "t"), ("--model", "model")):
            command += [name, str(folder / place)]
        summary, samples = watched(command + ["--local"] * (engine == "local"))
        fragments = [fragment.metadata.num_rows for fragment in lance.dataset(str(folder / "t.lance")).get_fragments()]
    assert summary["success"] == int(rows)
    where = "in the plain loop" if engine == "local" else "on Ray"
    plot(samples, Path(file), f"{int(rows):,} images embedded {where}: memory of the largest process of each kind")
    kept = ("read", "seconds", "rows_per_second")
    print(json.dumps({name: summary[name] for name in kept} | {"fragments": fragments}))
    print(json.dumps(figures(samples), indent=2))


if __name__ == "__main__":
    main(*sys.argv[1:])

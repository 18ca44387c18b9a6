"""The whole job beside its peers: JPEGs in Parquet -> decode, resize, both towers -> a table or Parquet.

    python -m benchmarks.job FOLDER [--bound pipeline|encoder] [--rows 2400,24000] [--rounds 3] [--runs RUN,RUN,…]

This is the image benchmark that Daft and Ray Data dispute (JPEGs -> decode, resize, model, Parquet), rebuilt small:
from photos of 640x480 pixels, about 65 kB each, made once into FOLDER from `../shared/data/real`, or else from
`demo/photos`.

- `--bound pipeline`: siglip-pico, whose towers cost less than decoding a photo; 2,400 and 24,000 rows.
- `--bound encoder`: a SigLIP B/16-224 with random weights in bfloat16, whose towers cost far more; 320 and 1,600 rows.

RUNS are bare, local, ray, local-fast, ray-fast, ray-recipe and daft; without `-fast`, ours decode exactly.

Each run is a process of its own, and the runs take turns. Rows per second are by difference: the rows of the long run
less those of the short one, by their seconds, so that the start counts for neither. `benchmarks.job_peers` has the
peers. The bare limits are measured in the same rounds, in CPU time: decoding and resizing alone, and the towers alone.
What the cores allow is their number by the sum of the two. Prints Markdown.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageOps

from benchmarks.process_tree import OTHERS, cpu_seconds, role_of, tree
from siglip_core.variants import Preprocessing

ROOT = Path(__file__).parents[1]
REAL = ROOT.parent / "shared" / "data" / "real"
DEMO = ROOT / "demo" / "photos"
SIZE = (640, 480)
DISTINCT = 1_600
"""photos; further rows repeat them, more than a window apart"""
ROWS_PER_FILE, ROWS_PER_GROUP = 1_000, 250
PHOTOS_OF_BARE = 256
"""that the bare limits are measured with"""
QUALITY = 90
"""gives about 65 kB"""
BATCH = 64
BOUNDS = {"pipeline": ("2400,24000", "float32"), "encoder": ("320,1600", "bfloat16")}
SAMPLE_SECONDS = 0.25
ROLES = (
    ("pipeline.stages.child", "children"),
    ("ray::MapWorker", "encoder"),
    ("ray::", "workers"),
    ("default_worker.py", "workers"),
    ("raylet", "Ray's servers"),
    ("gcs_server", "Ray's servers"),
    ("site-packages/ray", "Ray's servers"),
    ("jobs.cli", "driver"),
    ("benchmarks.job_peers", "driver"),
)
"""by what a command line holds, the first that fits; with --local the driver is the encoder's process too"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bound", choices=BOUNDS, default="pipeline")
    parser.add_argument("--rows")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", default="bare,local,ray,ray-recipe,daft")
    parser.add_argument("--options", default="", help="further options of siglane embed, as one string")
    given = parser.parse_args()
    default_rows, precision = BOUNDS[given.bound]
    counts = tuple(map(int, (given.rows or default_rows).split(",")))
    model = _model(given.folder, given.bound)
    inputs = {rows: _input(given.folder, rows) for rows in counts}
    found: dict[str, list[Difference]] = defaultdict(list)
    bare: list[Bare] = []
    for number in range(given.rounds):
        for name in given.runs.split(",")[:: -1 if number % 2 else 1]:
            if name == "bare":
                bare.append(_bare(inputs[max(counts)], model, precision))
                print(bare[-1], file=sys.stderr)
                continue
            runs = [_run(_command(name, inputs[rows], given, model, precision), given.folder) for rows in counts]
            found[name].append(Difference.of(counts, runs))
            print(name, found[name][-1], file=sys.stderr)
    print(report(given.bound, counts, found, bare))


@dataclass(frozen=True)
class Run:
    """One process, with all that it started."""

    seconds: float
    cpu: dict[str, float]
    """seconds by role"""
    peak: float
    """MB of all its processes together; shared memory counts once"""


@dataclass(frozen=True)
class Difference:
    """A long run less a short one."""

    rows_per_second: float
    cpu: dict[str, float]
    """ms a row by role"""
    start: float
    """seconds of the short run"""
    peak: float
    """MB of the long run"""

    @classmethod
    def of(cls, counts: tuple[int, ...], runs: Sequence[Run]) -> Difference:
        short, long = runs
        rows = counts[1] - counts[0]
        cpu = {role: 1000 * (long.cpu[role] - short.cpu.get(role, 0)) / rows for role in long.cpu}
        return cls(rows / (long.seconds - short.seconds), cpu, short.seconds, long.peak)


@dataclass(frozen=True)
class Bare:
    """What a row costs with nothing around it."""

    decode_cpu: float
    """ms of CPU: decoding and resizing, one thread"""
    towers_cpu: float
    """ms of CPU: both towers, one thread"""
    towers_wall: float
    """ms: both towers on all cores"""

    @property
    def allowed(self) -> float:
        """rows/s if all cores did nothing else"""
        return (os.cpu_count() or 1) * 1000 / (self.decode_cpu + self.towers_cpu)


def report(bound: str, counts: tuple[int, ...], found: dict[str, list[Difference]], bare: Sequence[Bare]) -> str:
    lines = [f"{bound}-bound, {counts[1]} rows less {counts[0]}, {os.cpu_count()} cores, medians:", ""]
    limit = None
    if bare:
        decode, towers, wall = (
            statistics.median(getattr(each, name) for each in bare)
            for name in ("decode_cpu", "towers_cpu", "towers_wall")
        )
        allowed = statistics.median(each.allowed for each in bare)
        limit = allowed if bound == "pipeline" else 1000 / wall
        lines += [
            f"Bare: decode + resize {decode:.3f} CPU ms a row, towers {towers:.3f} CPU ms on one thread, {wall:.3f} ms "
            f"on all cores: {1000 / wall:.1f} rows/s by the towers alone, {allowed:.1f} if the cores did both.",
            "",
        ]
    lines += [
        "| | rows/s | [of rounds] | of the limit | short run, s | peak MB | CPU ms a row |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, rounds in found.items():
        rates = [each.rows_per_second for each in rounds]
        rate = statistics.median(rates)
        roles = sorted({role for each in rounds for role in each.cpu})
        cpu = {role: statistics.median(each.cpu.get(role, 0) for each in rounds) for role in roles}
        lines.append(
            f"| {name} | {rate:.1f} | {min(rates):.0f}-{max(rates):.0f} | {f'{rate / limit:.2f}' if limit else ''} "
            f"| {statistics.median(each.start for each in rounds):.1f} "
            f"| {statistics.median(each.peak for each in rounds):.0f} "
            f"| {sum(cpu.values()):.2f}: {', '.join(f'{role} {ms:.2f}' for role, ms in cpu.items())} |"
        )
    ours = [name for name in found if name.startswith(("local", "ray")) and name != "ray-recipe"]
    for name in ours:
        for peer in [other for other in found if other != name]:
            ratios = [a.rows_per_second / b.rows_per_second for a, b in zip(found[name], found[peer], strict=True)]
            lines.append(f"\n{name} / {peer}: {statistics.median(ratios):.2f}")
    return "\n".join(lines)


def _command(name: str, source: Path, given: argparse.Namespace, model: str, precision: str) -> list[str]:
    output = given.folder / "out"
    if name in ("ray-recipe", "daft"):
        peer = name.removesuffix("-recipe")
        return [
            sys.executable,
            "-m",
            "benchmarks.job_peers",
            peer,
            str(source),
            str(output),
            _weights(model),
            precision,
        ]
    command = [sys.executable, "-m", "jobs.cli", "embed", "--json", "--input", str(source), "--table", f"{output}/t"]
    command += ["--model", model, "--precision", precision, *given.options.split()]
    place, _, preprocessing = name.partition("-")
    return command + ["--local"] * (place == "local") + ["--preprocessing", preprocessing or "exact"]


def _weights(model: str) -> str:
    return model if "/" in model else str(ROOT / "siglip_core" / "bundled" / model)


def _run(command: Sequence[str], folder: Path) -> Run:
    shutil.rmtree(folder / "out", ignore_errors=True)
    environment = os.environ | {"RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT)}
    with (folder / "log").open("w") as log:
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=ROOT)
        cpu, peak = _watch(process)
        seconds = time.monotonic() - began
    if process.returncode:
        raise SystemExit(
            f"{' '.join(command)} ended with {process.returncode}:\n{(folder / 'log').read_text()[-3000:]}"
        )
    return Run(seconds, cpu, peak)


def _watch(process: subprocess.Popen[bytes]) -> tuple[dict[str, float], float]:
    """(CPU seconds by role, the most MB at once) of a process and all that it started, looked at until it ends."""
    roles, seconds, peak = dict[int, str](), dict[int, float](), 0.0
    while process.poll() is None:
        held, shared = 0.0, 0.0
        for pid in tree(process.pid):
            try:
                role, used = role_of(pid, ROLES), cpu_seconds(pid)
                resident, of_others = map(int, Path(f"/proc/{pid}/statm").read_text().split()[1:3])
            except (FileNotFoundError, ProcessLookupError):
                continue
            # A worker of Ray takes the name of what it does, and another one while it is idle; one that ends has none.
            if role not in (OTHERS, "workers") or pid not in roles:
                roles[pid] = role
            seconds[pid] = used
            held += resident - of_others
            shared = max(shared, of_others)
        peak = max(peak, (held + shared) * os.sysconf("SC_PAGE_SIZE") / 2**20)
        time.sleep(SAMPLE_SECONDS)
    cpu: dict[str, float] = defaultdict(float)
    for pid, used in seconds.items():
        cpu[roles[pid]] += used
    return dict(cpu), peak


def _bare(source: Path, model: str, precision: str) -> Bare:
    """Measured in processes of their own: what needs one thread in as many at once as there are cores, because a core
    is slower while the others work."""
    cores = os.cpu_count() or 1
    one = list(zip(*_measured("measure_one_thread", source, model, precision, cores), strict=True))
    ((wall,),) = _measured("measure_all_cores", source, model, precision, 1)
    return Bare(*(statistics.mean(values) for values in one), wall)


def _measured(what: str, source: Path, model: str, precision: str, processes: int) -> list[tuple[float, ...]]:
    code = f"from benchmarks.job import {what}; {what}({str(source)!r}, {model!r}, {precision!r})"
    started = [
        subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    return [tuple(map(float, process.communicate()[0].split())) for process in started]


def _prepared(source: str, model: str, precision: str) -> tuple[list[bytes], Callable[[], None], Preprocessing]:
    """(some photos, a call of both towers with a batch, the model's preprocessing)."""
    import numpy as np

    import siglip_core
    from siglip_core.preprocess import decode

    rows = pq.read_table(sorted(Path(source).glob("*.parquet"))[0])
    rows = rows.take([*range(0, len(rows), -(-len(rows) // PHOTOS_OF_BARE))])  # of all: the first ones are small
    photos, captions = rows["image"].to_pylist(), rows["caption"].to_pylist()[:BATCH]
    encoder = siglip_core.load(model, "cpu", precision)
    preprocessing = encoder.spec.preprocessing
    pixels = np.stack([decode(photo, preprocessing).pixels for photo in photos[:BATCH]])

    def towers() -> None:
        encoder.encode_image(pixels)
        encoder.encode_text(captions)

    return photos, towers, preprocessing


def _each(call: Callable[[], object], clock: Callable[[], float]) -> float:
    """ms by the clock for one call, of as many calls as two seconds hold."""
    call()
    began = time.perf_counter()
    call()
    times = max(1, int(2 / (time.perf_counter() - began)))
    began = clock()
    for _ in range(times):
        call()
    return 1000 * (clock() - began) / times


def measure_one_thread(source: str, model: str, precision: str) -> None:
    """Prints CPU ms a row: decoding and resizing, and the towers."""
    import torch

    from siglip_core.preprocess import decode

    torch.set_num_threads(1)
    photos, towers, preprocessing = _prepared(source, model, precision)
    decoding = _each(lambda: [decode(photo, preprocessing) for photo in photos], time.process_time) / len(photos)
    print(decoding, _each(towers, time.process_time) / BATCH)


def measure_all_cores(source: str, model: str, precision: str) -> None:
    """Prints ms a row of the towers."""
    _, towers, _ = _prepared(source, model, precision)
    print(_each(towers, time.perf_counter) / BATCH)


def _model(folder: Path, bound: str) -> str:
    """The model's name; a B/16 is written to the folder."""
    if bound == "pipeline":
        return "siglip-pico"
    from dataclasses import replace

    from siglip_core import checkpoint, variants
    from siglip_core.init import initialise
    from siglip_core.model import Siglip

    place = folder / "b16"
    if not place.exists():
        tokenizer = ROOT / "siglip_core" / "bundled" / "siglip-pico" / "spiece.model"
        spec = variants.PUBLISHED["google/siglip-base-patch16-224"]
        checkpoint.save(initialise(Siglip(replace(spec, text=replace(spec.text, vocab_size=600))), 7), place)
        shutil.copy(tokenizer, place)
    return str(place)


def _input(folder: Path, rows: int) -> Path:
    """A folder of Parquet files with so many photos of 640x480 and a caption each; written once."""
    place = folder / f"photos-{rows}"
    if place.exists():
        return place
    photos, captions = _photos(folder)
    partial = folder / f"partial-{rows}"
    partial.mkdir(parents=True)
    for first in range(0, rows, ROWS_PER_FILE):
        numbers = [number % len(photos) for number in range(first, min(rows, first + ROWS_PER_FILE))]
        table = {"image": [photos[n] for n in numbers], "caption": [captions[n] for n in numbers]}
        pq.write_table(pa.table(table), partial / f"{first:08d}.parquet", ROWS_PER_GROUP)
    partial.rename(place)
    return place


def _photos(folder: Path) -> tuple[list[bytes], list[str]]:
    """So many distinct JPEGs of 640x480, from the real photos; each once, or in several cuts if they are too few."""
    kept = folder / "photos.parquet"
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        files = _originals()
        cuts = -(-DISTINCT // len(files))
        found = [(_cut(path, cut / max(1, cuts - 1)), caption) for cut in range(cuts) for path, caption in files]
        photos, captions = zip(*found[:DISTINCT], strict=True)
        pq.write_table(pa.table({"image": photos, "caption": captions}), kept)
    table = pq.read_table(kept)
    return table["image"].to_pylist(), table["caption"].to_pylist()


def _originals() -> list[tuple[Path, str]]:
    if not REAL.exists():
        files = sorted(path for path in DEMO.rglob("*") if path.suffix in (".jpg", ".png"))
        return [(path, path.with_suffix(".txt").read_text().strip()) for path in files]
    with (REAL / "pairs.csv").open() as file:
        rows = [(REAL / row["set"] / row["image"], row["caption"]) for row in csv.DictReader(file)]
    return list({path: (path, caption) for path, caption in rows if path.exists()}.values())


def _cut(path: Path, place: float) -> bytes:
    """The photo cut to 4 to 3 at this place, from 0 to 1, and enlarged or reduced to 640x480."""
    file = io.BytesIO()
    image = Image.open(path).convert("RGB")
    ImageOps.fit(image, SIZE, centering=(place, place)).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


if __name__ == "__main__":
    main()

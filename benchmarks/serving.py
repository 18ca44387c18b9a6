"""How fast `siglane serve` answers text queries of many clients at once, and whether its memory stays.

    python -m benchmarks.serving FOLDER [SECONDS] [ROWS]

A table of 200,000 clustered vectors of the bundled model is imported into FOLDER, if it is not there. Each of 64
clients sends one query after another for SECONDS (60), all different. Then the same with a service that encodes and
searches for one query at a time. Clients and service share the machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from scenes.plan import plan

CLIENTS, ROWS, DIMENSION, CLUSTERS = 64, 200_000, 128, 2_000
SEED = 5
HEAD = "POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
SECONDS_BEFORE = 3.0
"""that are not counted: connections are made, and files are read for the first time"""
ONE_AT_A_TIME = (
    "from pipeline.serving import finding, tower; tower.MOST = finding.MOST_AT_ONCE = 1; "
    "from jobs import serve; import sys; sys.exit(serve.main(sys.argv[1:]))"
)
TOGETHER = "from jobs import serve; import sys; sys.exit(serve.main(sys.argv[1:]))"


def make_table(folder: Path, rows: int) -> Path:
    """Imports vectors as images' vectors are: in clusters, and captions beside them."""
    table = folder / f"served-{rows}"
    if Path(f"{table}.lance").exists():
        return table
    rng = np.random.default_rng(SEED)
    centres = rng.standard_normal((CLUSTERS, DIMENSION))
    images = centres[rng.integers(0, CLUSTERS, rows)] + 0.6 * rng.standard_normal((rows, DIMENSION))
    texts = images + 1.2 * rng.standard_normal((rows, DIMENSION))
    columns = {
        "caption": [f"caption {row}" for row in range(rows)],
        "image_embedding": _lists(images),
        "text_embedding": _lists(texts),
    }
    pq.write_table(pa.table(columns), folder / "vectors.parquet")
    given = ["--input", str(folder / "vectors.parquet"), "--table", str(table), "--model", "siglip-pico"]
    given += ["--image-vector-col", "image_embedding", "--text-vector-col", "text_embedding"]
    subprocess.run([sys.executable, "-m", "jobs.cli", "import", *given], check=True)
    (folder / "vectors.parquet").unlink()
    return table


def _lists(vectors_ND: npt.NDArray[np.float64]) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors_ND.astype(np.float32).ravel()), DIMENSION)


@contextmanager
def serving(code: str, table: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """The port of a service, and its process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    given = ["--table", str(table), "--port", str(port), "--max-rate", "1e9"]
    process = subprocess.Popen([sys.executable, "-c", code, *given], stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                assert process.poll() is None, "the service ended"
                time.sleep(0.1)
        yield port, process
    finally:
        process.terminate()
        assert process.wait(60) == 0


async def clients(port: int, seconds: float, process: subprocess.Popen[bytes]) -> tuple[list[float], int, list[int]]:
    """The seconds of each answer, how many were errors, and the service's memory over time, in bytes."""
    texts = iter([row.caption for row in plan(20_000, SEED)] * 100)
    took: list[float] = []
    errors, memory = 0, [_memory(process)]
    start = time.perf_counter() + SECONDS_BEFORE

    async def client() -> None:
        nonlocal errors
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (now := time.perf_counter()) < start + seconds:
            body = json.dumps({"terms": [{"text": next(texts)}]}).encode()
            head = HEAD.format(len(body))
            writer.write(head.encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", answer, re.IGNORECASE)
            assert length is not None
            await reader.readexactly(int(length[1]))
            if now >= start:
                took.append(time.perf_counter() - now)
                errors += not answer.startswith(b"HTTP/1.1 200")
        writer.close()

    async def watch() -> None:
        while time.perf_counter() < start + seconds:
            await asyncio.sleep(seconds / 20)
            memory.append(_memory(process))

    await asyncio.gather(watch(), *(client() for _ in range(CLIENTS)))
    return took, errors, memory


def _memory(process: subprocess.Popen[bytes]) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


def main(folder: str, seconds: str = "60", rows: str = str(ROWS)) -> None:
    table = make_table(Path(folder), int(rows))
    rates = {}
    for name, code, share in (("together", TOGETHER, 1.0), ("one at a time", ONE_AT_A_TIME, 0.5)):
        with serving(code, table) as (port, process):
            took, errors, memory = asyncio.run(clients(port, share * float(seconds), process))
        rates[name] = len(took) / (share * float(seconds))
        p50, p99 = (1000 * np.quantile(took, [0.5, 0.99])).round(1)
        third = len(memory) // 3
        early, late = (max(part) / 2**20 for part in (memory[third : 2 * third], memory[2 * third :]))
        print(
            f"- {name}: {CLIENTS} clients, {int(rows):,} rows, {os.cpu_count()} CPUs: {rates[name]:.0f} queries/s, "
            f"p50 {p50} ms, p99 {p99} ms, {errors} errors in {len(took)} answers; "
            f"memory {early:.0f} MiB in the second third, {late:.0f} MiB in the last",
            flush=True,
        )
    print(f"- together / one at a time: {rates['together'] / rates['one at a time']:.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])

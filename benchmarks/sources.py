"""How many pairs a second each format of input is read at, by one process: their bytes and captions, nothing decoded.

    python -m benchmarks.sources [PAIRS] [KILOBYTES]

Writes PAIRS pairs (4,000) of images of KILOBYTES (100) of noise as a folder, a tar, Parquet, JSONL and a Lance dataset,
in a temporary folder, and reads each three times, from the page cache. Each figure is the median. On a machine that has
other things to do, the pairs for each second of CPU time say more.
"""

from __future__ import annotations

import io
import json
import os
import statistics
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import lance
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import sources
from pipeline.sources import SourceOptions

ROWS_PER_GROUP = 500
REPEATS = 3


def write(root: Path, pairs: int, size: int) -> list[Path]:
    """The same pairs in every format; gives what to pass as `--input`."""
    folder = root / "folder"
    folder.mkdir()
    images = [os.urandom(size) for _ in range(pairs)]
    captions = [f"a caption of common length, the one of photo number {index}" for index in range(pairs)]
    for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
        (folder / f"{index:06d}.jpg").write_bytes(image)
        (folder / f"{index:06d}.txt").write_text(caption)
    with tarfile.open(root / "pairs.tar", "w") as tar:
        for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
            for suffix, data in (("jpg", image), ("txt", caption.encode())):
                member = tarfile.TarInfo(f"{index:06d}.{suffix}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    table = pa.table({"image": pa.array(images, pa.binary()), "caption": captions})
    pq.write_table(table, root / "pairs.parquet", ROWS_PER_GROUP)
    lance.write_dataset(table, root / "pairs.lance")
    lines = [json.dumps({"url": f"folder/{i:06d}.jpg", "caption": caption}) for i, caption in enumerate(captions)]
    (root / "pairs.jsonl").write_text("\n".join(lines))
    return [folder, *(root / f"pairs.{suffix}" for suffix in ("tar", "parquet", "jsonl", "lance"))]


def seconds_to_read(address: Path, pairs: int) -> tuple[float, float]:
    """(by the clock, of CPU time in all threads)."""
    options = SourceOptions.model_validate({"input": str(address)})
    start, used = time.perf_counter(), time.process_time()
    name, listing = sources.resolve(options)
    module = sources.formats()[name]
    samples = (sample for chunk in module.plan(listing, options) for sample in module.read(chunk, options))
    whole = sum(sample.image is not None and sample.caption is not None for sample in samples)
    assert whole == pairs, f"{address.name}: {whole} of {pairs} pairs came whole"
    return time.perf_counter() - start, time.process_time() - used


def main(pairs: int, kilobytes: int) -> None:
    with tempfile.TemporaryDirectory() as root:
        print(f"{pairs} pairs of {kilobytes} KB | pairs/s | MB/s | pairs per CPU second")
        for address in write(Path(root), pairs, kilobytes * 1000):
            taken = [seconds_to_read(address, pairs) for _ in range(REPEATS)]
            seconds, cpu = (statistics.median(column) for column in zip(*taken, strict=True))
            rate = pairs / seconds
            print(f"{address.name} | {rate:.0f} | {rate * kilobytes / 1000:.0f} | {pairs / cpu:.0f}")


if __name__ == "__main__":
    main(*(int(argument) for argument in (sys.argv[1:] + ["4000", "100"][len(sys.argv) - 1 :])))

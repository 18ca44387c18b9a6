"""What exporting kept pairs as WebDataset costs beside a plain copy of the bytes that it writes, and the usual loop.

    python -m benchmarks.export [IMAGES] [KILOBYTES]

Makes tars of so many images (20,000) of so many kilobytes of noise each (100), 1,000 to a tar, with captions, and a
table of their scored rows, in a temporary folder, where four times their size is needed. Exports, copies of what the
export wrote, and loops from a reader to a writer of the webdataset package, which check and look up nothing and write
no JSON, take turns, three of each: in the order of the input and then, but for the loops, shuffled; first until the
operating system has what is written, then until the disk has it. The input is read from the page cache where it fits.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import statistics
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import webdataset

from pipeline import processes, schema, scoring, storage, table
from pipeline.filtering import Selection, filter_table, one_cut, written_as
from pipeline.schema import Identity
from pipeline.sources import SourceOptions
from pipeline.table import Committer, TableUri

IMAGES_PER_TAR, ROUNDS, DIMENSION = 1000, 3, 8
_JPEG = b"\xff\xd8\xff\xe0"
"""how a JPEG begins; nothing here decodes the rest"""


def write_tars(folder: Path, images: int, size: int) -> list[str]:
    """Returns the sha256 of each image, as hexadecimal digits, in the order they lie."""
    rng = np.random.default_rng(0)
    digests = []
    for first in range(0, images, IMAGES_PER_TAR):
        with tarfile.open(folder / f"{first // IMAGES_PER_TAR:05d}.tar", "w") as tar:
            for number in range(first, min(first + IMAGES_PER_TAR, images)):
                image = _JPEG + rng.bytes(size - len(_JPEG))
                digests.append(hashlib.sha256(image).hexdigest())
                for suffix, data in (("jpg", image), ("txt", f"a caption of some words, number {number}".encode())):
                    info = tarfile.TarInfo(f"{number:09d}.{suffix}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
    return digests


def write_table(uri: TableUri, tars: Path, digests: list[str]) -> None:
    """The rows that a run leaves of those tars, scored."""
    identity = Identity("w" * 64, "hf-bicubic-aa.v1@32", None, "float32", DIMENSION, "a-model", 10.0, -10.0)
    columns = schema.table_schema(identity)
    numbers = np.arange(len(digests))
    files = storage.list_files(str(tars)).files
    tar = pa.array(numbers // IMAGES_PER_TAR)
    vectors = pa.array(np.random.default_rng(1).standard_normal(len(digests) * DIMENSION).astype(np.float16))
    values = {
        schema.UID: pa.array([digest[:32] for digest in digests]),
        schema.KEY: pa.array([f"{number:09d}" for number in numbers.tolist()]),
        schema.SOURCE: pa.array([file.path for file in files]).take(tar),
        schema.SOURCE_VERSION: pa.array([file.version for file in files]).take(tar),
        schema.SOURCE_ROW: pa.array(numbers % IMAGES_PER_TAR),
        schema.CAPTION: pa.array([f"a caption of some words, number {number}" for number in numbers.tolist()]),
        schema.STATUS: pa.repeat(schema.SUCCESS, len(digests)),
        schema.IMAGE_SHA256: pa.array(digests),
        schema.IMAGE_VECTOR: pa.FixedSizeListArray.from_arrays(vectors, DIMENSION),
        schema.TEXT_VECTOR: pa.FixedSizeListArray.from_arrays(vectors, DIMENSION),
    }
    missing = {field.name: pa.nulls(len(digests), field.type) for field in columns if field.name not in values}
    rows = pa.table({name: (values | missing)[name] for name in columns.names}, columns)
    Committer(uri, columns, None).commit([table.stage(uri, rows)])
    list(scoring.score_table(uri))


def seconds(work: Callable[[], object], to_disk: bool) -> float:
    os.sync()  # what earlier work has left to be written
    started = time.perf_counter()
    work()
    if to_disk:
        os.sync()
    return time.perf_counter() - started


def measure(uri: TableUri, tars: Path, folder: Path, shuffle_seed: int | None, to_disk: bool) -> dict[str, float]:
    """Medians over the rounds, and how fast the export is as a share of what it stands beside."""
    form = written_as("webdataset", SourceOptions(input=(str(tars),)), shuffle_seed=shuffle_seed)
    everything = Selection(one_cut(schema.COSINE, min=-1.0))
    exported, copied, looped = (folder / name for name in ("exported", "copied", "looped"))

    def export() -> None:
        filter_table(table.open_table(uri), everything, exported, form, tag=False)

    def copy() -> None:
        shutil.copytree(exported, copied)

    def loop() -> None:
        looped.mkdir()
        shards = sorted(str(tar) for tar in tars.iterdir())
        with webdataset.ShardWriter(f"{looped}/%08d.tar", maxcount=10_000, verbose=0) as writer:
            for sample in webdataset.WebDataset(shards, shardshuffle=False):
                writer.write({name: sample[name] for name in ("__key__", "jpg", "txt")})

    works = {"export": export, "copy": copy} | ({"webdataset_loop": loop} if shuffle_seed is None else {})
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for output in (exported, copied, looped):
            shutil.rmtree(output, ignore_errors=True)
        for name, work in works.items():
            taken[name].append(seconds(work, to_disk))
    medians = {name: round(statistics.median(times), 3) for name, times in taken.items()}
    return medians | {f"speed_of_{name}": round(medians[name] / medians["export"], 3) for name in list(works)[1:]}


def main(images: int = 20_000, kilobytes: int = 100) -> None:
    processes.keep_freed_memory()  # as the command does
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tars = folder / "tars"
        tars.mkdir()
        uri = table.parse(str(folder / "t"))
        write_table(uri, tars, write_tars(tars, images, kilobytes * 1000))
        figures = {
            "images": images,
            "kilobytes": kilobytes,
            "in_order": measure(uri, tars, folder, None, False),
            "shuffled": measure(uri, tars, folder, 0, False),
            "in_order_to_disk": measure(uri, tars, folder, None, True),
            "shuffled_to_disk": measure(uri, tars, folder, 0, True),
        }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

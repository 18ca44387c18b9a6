"""Writes datasets of scenes: Parquet, or a folder of JPEGs with their captions beside them."""

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from scenes.draw import jpeg
from scenes.grammar import Split
from scenes.plan import Row, plan
from scenes.stream import sample

__all__ = ["SCHEMA", "TRUTH_SCHEMA", "plan", "sample", "write_dataset"]

FileLayout: TypeAlias = Literal["parquet", "folder"]

TRUTH_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("uid", pa.string()),
        ("caption", pa.string()),
        ("caption_kind", pa.string()),
        ("true_caption", pa.string()),
        ("scene", pa.string()),
    ]
)
SCHEMA = TRUTH_SCHEMA.insert(0, pa.field("image", pa.binary()))
_ROWS_PER_FILE = 20_000
_ROWS_PER_TASK = 250


def write_dataset(
    output_dir: str | Path,
    count: int,
    seed: int,
    split: Split = "train",
    *,
    size: int = 64,
    wrong: Mapping[str, float] | None = None,
    layout: FileLayout = "parquet",
    processes: int = 1,
) -> list[Path]:
    """Draws a dataset of scenes and writes it. Returns the files with the columns of `TRUTH_SCHEMA`.

    "parquet" writes `scenes-00000.parquet`, … of up to 20,000 rows with the columns `image` (JPEG bytes),
    `key`, `uid` (32 hex characters), `caption`, `caption_kind` ("true", "other", "similar", "attribute"),
    `true_caption` and `scene` (JSON: things with colour, shape, size, x, y; layout; background). "folder"
    writes `images/KEY.jpg` and `images/KEY.txt`, and the other columns to `truth.parquet` beside `images`.

    Args:
        output_dir: created if missing; must be empty.
        count: number of pictures.
        seed: equal arguments give equal bytes, whatever `processes` is.
        split: "train" or "test". Things of "test" are combinations of colour, shape and size never seen in training,
            and each of its captions fits only its own picture.
        size: side of the square pictures in pixels, at least 32. Smaller pictures make the small shapes look alike.
        wrong: exact shares of wrong captions by kind. "other": the caption of another scene in the dataset; "similar":
            of a scene with two attributes changed, in another wording; "attribute": the true caption with one attribute
            changed. All are checked to be false for the picture. None: all captions are true.
        layout: layout of the files.
        processes: number of processes that draw.

    Raises:
        FileExistsError: the folder is not empty.
        ValueError: an argument is out of range, or there are fewer than `count` distinct test scenes.
    """
    if count < 1 or size < 32 or processes < 1:
        raise ValueError(f"count {count} and processes {processes} must be at least 1, size {size} at least 32")
    if layout not in ("parquet", "folder"):
        raise ValueError(f"layout must be 'parquet' or 'folder', not {layout!r}")
    output = Path(output_dir)
    if output.exists() and any(output.iterdir()):
        raise FileExistsError(f"{output} is not empty: name a new folder")
    rows = plan(count, seed, split, wrong)
    output.mkdir(parents=True, exist_ok=True)
    if processes == 1:
        return _write(output, rows, map(partial(_drawn, size=size), _tasks(rows)), layout)
    with ProcessPoolExecutor(processes) as pool:
        return _write(output, rows, pool.map(partial(_drawn, size=size), _tasks(rows)), layout)


def _tasks(rows: list[Row]) -> list[list[Row]]:
    return [rows[start : start + _ROWS_PER_TASK] for start in range(0, len(rows), _ROWS_PER_TASK)]


def _drawn(rows: list[Row], size: int) -> list[bytes]:
    return [jpeg(row.picture, size) for row in rows]


def _write(output: Path, rows: list[Row], drawn: Iterable[list[bytes]], layout: FileLayout) -> list[Path]:
    if layout == "folder":
        return [_write_folder(output, rows, drawn)]
    files: list[Path] = []
    images = [image for task in drawn for image in task]
    for start in range(0, len(rows), _ROWS_PER_FILE):
        part = slice(start, start + _ROWS_PER_FILE)
        table = _truth(rows[part]).add_column(0, SCHEMA.field("image"), pa.array(images[part], pa.binary()))
        files.append(output / f"scenes-{len(files):05d}.parquet")
        # Row groups are small, so that readers can give them to separate tasks.
        pq.write_table(table, files[-1], row_group_size=1000)
    return files


def _write_folder(output: Path, rows: list[Row], drawn: Iterable[list[bytes]]) -> Path:
    folder = output / "images"
    folder.mkdir()
    images = (image for task in drawn for image in task)
    for row, image in zip(rows, images, strict=True):
        (folder / f"{row.key}.jpg").write_bytes(image)
        (folder / f"{row.key}.txt").write_text(row.caption + "\n", encoding="utf-8")
    truth = output / "truth.parquet"
    pq.write_table(_truth(rows), truth)
    return truth


def _truth(rows: list[Row]) -> pa.Table:
    records = [
        {
            "key": row.key,
            "uid": row.uid,
            "caption": row.caption,
            "caption_kind": row.kind,
            "true_caption": row.true_caption,
            "scene": _scene_json(row),
        }
        for row in rows
    ]
    return pa.Table.from_pylist(records, schema=TRUTH_SCHEMA)


def _scene_json(row: Row) -> str:
    scene = row.picture.scene
    things = [
        {**asdict(placed.thing), "x": round(placed.x, 4), "y": round(placed.y, 4)} for placed in row.picture.placed
    ]
    layout = {"kind": type(scene.layout).__name__.lower(), **asdict(scene.layout)}
    return json.dumps({"things": things, "layout": layout, "background": scene.background})

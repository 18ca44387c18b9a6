"""Vectors that lie in clusters, as those of images do, with a gap between images and captions; and rows of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import schema, search, table
from pipeline.search import Search
from pipeline.search.terms import Modality
from pipeline.table import TableUri

DIMENSION = 32


def clustered(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of images and of their captions, [N, D] each."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(40, DIMENSION))
    content = centres[random.integers(0, 40, count)] + 0.5 * random.normal(size=(count, DIMENSION))
    gap_D = np.random.default_rng(98).normal(size=DIMENSION)
    image_ND, text_ND = content + 2 * gap_D, content + random.normal(size=content.shape) - 2 * gap_D
    return (
        image_ND / np.linalg.norm(image_ND, axis=1, keepdims=True),
        text_ND / np.linalg.norm(text_ND, axis=1, keepdims=True),
    )


def add_rows(table_uri: TableUri | Path, image_ND: np.ndarray, text_ND: np.ndarray, first: int) -> None:
    """Commits rows as a run does; their uids are their numbers."""
    uri = table.parse(str(table_uri))
    opened = table.open_table(uri)
    numbers = range(first, first + len(image_ND))
    given: dict[str, Sequence[Any]] = {
        schema.UID: [f"{number:032x}" for number in numbers],
        schema.KEY: [str(number) for number in numbers],
        schema.SOURCE: [f"later-{first}.parquet"] * len(image_ND),
        schema.SOURCE_VERSION: ["1"] * len(image_ND),
        schema.SOURCE_ROW: list(range(len(image_ND))),
        schema.CAPTION: [f"caption {number}" for number in numbers],
        schema.IMAGE_SHA256: [f"{number:064x}" for number in numbers],
        schema.STATUS: [schema.SUCCESS] * len(image_ND),
        schema.IMAGE_VECTOR: list(image_ND.astype(np.float16)),
        schema.TEXT_VECTOR: list(text_ND.astype(np.float16)),
    }
    rows = {
        name: pa.array(given.get(name, [None] * len(image_ND)), opened.schema.field(name).type)
        for name in opened.schema.names
    }
    staged = table.stage(uri, pa.table(rows, schema=opened.schema))
    table.Committer(uri, opened.schema, opened).commit([staged])


def found_by(opened: Search, queries: np.ndarray, kind: Modality = "image", **more: Any) -> list[list[str]]:
    """The uids of the hits of each query."""
    return [
        [hit.uid for hit in hits] for hits in opened.many([search.vector(query, kind) for query in queries], **more)
    ]


def recall(found: Sequence[Sequence[str]], truth: Sequence[Sequence[str]]) -> float:
    return float(np.mean([len(set(near) & set(true)) / len(true) for near, true in zip(found, truth, strict=True)]))

"""A map: a sample of the rows in two dimensions, so that rows whose vectors are near each other are near on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from pipeline import schema
from pipeline.errors import TableError
from pipeline.serving.finding import require_columns
from pipeline.serving.json_values import plain
from pipeline.table import EMBEDDED, ROW_ADDRESS, Table
from pipeline.vectors import to_numpy

MOST = 5_000
"""points"""
SEED = 0


@dataclass(frozen=True)
class Map:
    version: int
    rows: int
    """embedded rows that the sample is from"""
    uids: list[str]
    captions: list[str | None]
    x: list[float]
    y: list[float]
    """from -1 to 1"""
    values: list[Any]
    """of the column that colours them"""
    explained: float
    """share of the sample's variance that the two dimensions hold"""


def project(opened: Table, vector: Literal["image", "text"], colour: str, most: int, where: str | None) -> Map:
    """Draws rows at random, with a fixed seed, and projects their vectors on their two principal components.

    `where`: SQL.

    Raises:
        UsageError: there is no such column to colour by.
        TableError: no row has such a vector.
    """
    require_columns(opened, [colour])
    column = schema.IMAGE_VECTOR if vector == "image" else schema.TEXT_VECTOR
    condition = f"{EMBEDDED} AND {column} IS NOT NULL" + (f" AND ({where})" if where else "")
    addresses = np.concatenate(
        [
            np.empty(0, np.uint64),
            *(batch[ROW_ADDRESS].to_numpy() for batch in opened.scan([], condition, addresses=True)),
        ]
    )
    if not len(addresses):
        raise TableError(f"table {opened.uri}: no row has a vector of its {vector} and meets the condition")
    chosen = np.random.default_rng(SEED).permutation(addresses)[:most]
    names = list(dict.fromkeys([schema.UID, schema.CAPTION, colour, column]))
    rows = opened.take(opened.positions(chosen).tolist(), names).combine_chunks()
    vectors = to_numpy(_one(rows[column])).astype(np.float32)
    places, explained = principal(vectors)
    return Map(
        opened.version,
        len(addresses),
        rows[schema.UID].to_pylist(),
        rows[schema.CAPTION].to_pylist(),
        places[:, 0].tolist(),
        places[:, 1].tolist(),
        [plain(value) for value in rows[colour].to_pylist()],
        explained,
    )


def principal(vectors_ND: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float64], float]:
    """The vectors [N, D] on their two principal components, [N, 2] from -1 to 1, and the share of variance there.

    The same vectors always give the same picture: the sign of each component is fixed.
    """
    centred = torch.from_numpy(vectors_ND.astype(np.float64))
    centred = centred - centred.mean(0)
    total = float(centred.square().sum())
    _, lengths, axes_KD = torch.linalg.svd(centred, full_matrices=False)
    axes_DK = axes_KD[:2].T
    axes_DK = axes_DK * torch.where(axes_DK.gather(0, axes_DK.abs().argmax(0, keepdim=True)) < 0, -1.0, 1.0)
    places = (centred @ axes_DK).numpy()
    if places.shape[1] < 2:
        places = np.hstack([places, np.zeros((len(places), 2 - places.shape[1]))])
    share = float(lengths[:2].square().sum()) / total if total else 0.0
    return places / (np.abs(places).max() or 1.0), share


def _one(column: pa.ChunkedArray) -> pa.FixedSizeListArray:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)

"""Randomly drawn pairs of a table to compare others with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline import schema
from pipeline.table import ROW_ADDRESS, Table
from pipeline.vectors import Vectors, to_numpy

HAS_VECTORS = f"{schema.IMAGE_VECTOR} IS NOT NULL AND {schema.TEXT_VECTOR} IS NOT NULL"


@dataclass(frozen=True)
class Reference:
    """M pairs: uids [M], image and text vectors [M, D]."""

    uids: Sequence[str]
    image_vectors: Vectors
    text_vectors: Vectors


def draw_reference(table: Table, most: int, seed: int) -> Reference:
    """Draws at random at most so many embedded pairs. Equal arguments give equal pairs."""
    addresses = [batch[ROW_ADDRESS].to_numpy() for batch in table.scan([], HAS_VECTORS, addresses=True)]
    chosen = np.random.default_rng(seed).permutation(np.concatenate(addresses))[:most]
    columns = (schema.UID, schema.IMAGE_VECTOR, schema.TEXT_VECTOR)
    rows = table.take(table.positions(chosen).tolist(), columns).combine_chunks()
    images, texts = (to_numpy(rows[name].combine_chunks()) for name in columns[1:])
    return Reference(rows[schema.UID].to_pylist(), images, texts)

"""Exact search over a table's image vectors, by text, image, row or vector."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline import encoder, schema, table
from pipeline.errors import InputError, TableError, UsageError
from pipeline.table import Table
from pipeline.vectors import to_numpy
from siglip_core import similarity

if TYPE_CHECKING:
    from siglip_core.encoder import Encoder

DEFAULT_K = 10
# Lance ranks by the dot product of stored vectors, whose length float16 rounding moves slightly from 1. So a few more
# rows than k are fetched, and more still while a row beyond them may belong among the k.
MARGIN = 64
# The same with float32, whose sums over D numbers are rounded too.
_ROUNDING_OF_SUMS = 1e-5

_SHOWN = [schema.UID, schema.CAPTION, schema.SOURCE]


@dataclass(frozen=True)
class Hit:
    """A result row. `logit` and `probability` are None if the query is an image too: the sigmoid's scale and bias were
    learned between images and texts, and have no meaning between two images."""

    uid: str
    cosine: float
    logit: float | None
    probability: float | None
    caption: str | None
    source: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Search:
    """Queries one snapshot of a table. Every method returns at most `k` hits, best first, ties in order of uid.

    Raises:
        TableError: `where` is not SQL over the table's columns.
        UsageError: `k` is below 1.
    """

    def __init__(self, searched: Table, model: str | None = None) -> None:
        self._table = searched
        self._model_name = model or searched.identity.model

    def by_text(self, text: str, k: int = DEFAULT_K, where: str | None = None) -> list[Hit]:
        """The images nearest to a text, by cosine."""
        if not isinstance(text, str):
            raise UsageError(f"text of type {type(text).__name__}: give one str; for several texts, call once for each")
        return self._nearest(self._model.encode_text([text]).numpy()[0], k, where, across=True)

    def by_image(self, image: bytes | str | Path, k: int = DEFAULT_K, where: str | None = None) -> list[Hit]:
        """The images nearest to an image, given as a file's path or as the file's bytes.

        Raises:
            InputError: the file cannot be read.
            siglip_core.ImageError: it is not an image.
        """
        pixels_HWC = self._model.preprocess(image if isinstance(image, bytes) else _read(image))
        return self._nearest(self._model.encode_image(pixels_HWC[None]).numpy()[0], k, where, across=False)

    def by_uid(self, uid: str, k: int = DEFAULT_K, where: str | None = None) -> list[Hit]:
        """The images nearest to a row's image, the row itself included. Needs no model.

        Raises:
            TableError: no embedded row has this uid.
        """
        quoted = uid.replace("'", "''")
        found = list(self._table.scan([schema.IMAGE_VECTOR], f"{table.EMBEDDED} AND {schema.UID} = '{quoted}'"))
        columns = [column for batch in found if len(column := batch[schema.IMAGE_VECTOR].drop_null())]
        if not columns:
            raise TableError(f"table {self._table.uri}: no embedded row has uid {uid!r}")
        query = to_numpy(columns[0])[0].astype(np.float32)
        return self._nearest(query, k, where, across=False)

    def by_vector(self, vector: npt.ArrayLike, k: int = DEFAULT_K, where: str | None = None) -> list[Hit]:
        """The images nearest to a vector of this model, [D], of any length. It counts as an image: hits have no logits.

        Raises:
            UsageError: the vector has another dimension, or no direction.
        """
        query = np.asarray(vector, np.float32)
        if query.shape != (self._table.dimension,):
            raise UsageError(
                f"vector of shape {query.shape}: the vectors of table {self._table.uri} have {self._table.dimension} "
                "numbers; embed the query with the table's model"
            )
        if not np.isfinite(query).all() or not query.any():
            raise UsageError("the vector has no direction: its numbers are all 0, or some are not finite")
        return self._nearest(query, k, where, across=False)

    @cached_property
    def _model(self) -> Encoder:
        return encoder.load_same(self._model_name, self._table.identity)

    def _nearest(self, query_D: npt.NDArray[np.float32], k: int, where: str | None, across: bool) -> list[Hit]:
        if k < 1:
            raise UsageError(f"k {k}: too small; give at least 1")
        fetched = k + MARGIN + k // 8
        while True:
            hits, found, beyond = self._best_of(fetched, query_D, k, where, across)
            if found < fetched or (len(hits) == k and hits[-1].cosine > beyond):
                return hits
            fetched *= 4

    def _best_of(
        self, fetched: int, query_D: npt.NDArray[np.float32], k: int, where: str | None, across: bool
    ) -> tuple[list[Hit], int, float]:
        """The best k of the `fetched` rows with the largest dot products, how many rows there were, and the largest
        cosine that a row beyond them can have."""
        hits: list[Hit] = []
        found, last_dot, rounding = 0, 0.0, 0.0
        for batch in self._table.nearest(schema.IMAGE_VECTOR, query_D, fetched, [*_SHOWN, schema.IMAGE_VECTOR], where):
            image_ND = to_numpy(batch[schema.IMAGE_VECTOR])
            # Row by row: a product of matrices may round equal rows differently, and they would be no ties.
            cosine_N = similarity.cosine(np.broadcast_to(query_D, image_ND.shape), image_ND)
            rows = batch.select(_SHOWN).to_pylist()
            hits += [self._hit(row, float(cosine), across) for row, cosine in zip(rows, cosine_N, strict=True)]
            hits = sorted(hits, key=lambda hit: (-hit.cosine, hit.uid))[:k]
            found += len(rows)
            last_dot = 1 - float(batch[table.DISTANCE][-1].as_py())
            rounding = float(np.finfo(image_ND.dtype).eps) / 2 + _ROUNDING_OF_SUMS
        longest = float(np.linalg.norm(query_D))
        return hits, found, last_dot / longest + rounding

    def _hit(self, row: dict[str, Any], cosine: float, across: bool) -> Hit:
        identity = self._table.identity
        logit = similarity.logit(np.array(cosine), identity.logit_scale, identity.logit_bias)
        return Hit(
            row[schema.UID],
            cosine,
            float(logit) if across else None,
            float(similarity.probability(logit)) if across else None,
            row[schema.CAPTION],
            row[schema.SOURCE],
        )


def _read(image: str | Path) -> bytes:
    if not isinstance(image, str | Path):
        raise UsageError(f"image of type {type(image).__name__}: give a file's path, or the file's bytes")
    try:
        return Path(image).read_bytes()
    except OSError as error:
        raise InputError(f"image {image}: {error.strerror}; give the path of an image file, or its bytes") from error


def open(table_uri: str, model: str | None = None) -> Search:  # noqa: A001 - read as search.open(…)
    """Opens a table for queries. `model`: the encoder's folder, if it has moved since the table was made.

    Raises:
        TableError: there is no such table.
    """
    return Search(table.open_table(table.parse(table_uri)), model)

"""Exact search over a table's image vectors, by text, image, row or vector."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline import encoder, schema, table
from pipeline.errors import TableError, UsageError
from pipeline.table import Table
from pipeline.vectors import to_numpy
from siglip_core import similarity

if TYPE_CHECKING:
    from siglip_core.encoder import Encoder

DEFAULT_K = 10
# Lance ranks by the dot product of stored vectors, whose length float16 rounding moves slightly from 1. So a few more
# rows are fetched, to get the order by exact cosine right up to the k-th place.
MARGIN = 64

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
        return self._nearest(self._model.encode_text([text]).numpy()[0], k, where, across=True)

    def by_image(self, image: bytes, k: int = DEFAULT_K, where: str | None = None) -> list[Hit]:
        """The images nearest to an image, given as the bytes of its file.

        Raises:
            siglip_core.ImageError: the bytes are not an image.
        """
        pixels_HWC = self._model.preprocess(image)
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
            UsageError: the vector has another dimension.
        """
        query = np.asarray(vector, np.float32)
        if query.shape != (self._table.dimension,):
            raise UsageError(
                f"vector of shape {query.shape}: the vectors of table {self._table.uri} have {self._table.dimension} "
                "numbers; embed the query with the table's model"
            )
        return self._nearest(query, k, where, across=False)

    @cached_property
    def _model(self) -> Encoder:
        return encoder.load_same(self._model_name, self._table.identity)

    def _nearest(self, query_D: npt.NDArray[np.float32], k: int, where: str | None, across: bool) -> list[Hit]:
        if k < 1:
            raise UsageError(f"k {k}: too small; give at least 1")
        found = self._table.nearest(schema.IMAGE_VECTOR, query_D, k + MARGIN, [*_SHOWN, schema.IMAGE_VECTOR], where)
        if found.num_rows == 0:
            return []
        image_ND = to_numpy(found[schema.IMAGE_VECTOR].combine_chunks())
        cosine_N = similarity.cosine_block(query_D[None], image_ND)[0]
        hits = [
            self._hit(row, float(cosine), across)
            for row, cosine in zip(found.select(_SHOWN).to_pylist(), cosine_N, strict=True)
        ]
        return sorted(hits, key=lambda hit: (-hit.cosine, hit.uid))[:k]

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


def open(table_uri: str, model: str | None = None) -> Search:  # noqa: A001 - read as search.open(…)
    """Opens a table for queries. `model`: the encoder's folder, if it has moved since the table was made.

    Raises:
        TableError: there is no such table.
    """
    return Search(table.open_table(table.parse(table_uri)), model)

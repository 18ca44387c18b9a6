"""Queries a table: what is looked for becomes a vector, and the rows are ranked by their cosines with it."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline import encoder, schema, table
from pipeline.errors import InputError, TableError, UsageError
from pipeline.search import terms
from pipeline.search.hits import Hits
from pipeline.search.ranking import OF_EVERY_HIT, Wanted, best
from pipeline.search.terms import MODALITIES, Modality, Picture, Query, Row, Text, Vector
from pipeline.table import Table
from pipeline.vectors import to_numpy

if TYPE_CHECKING:
    from siglip_core.encoder import Encoder

DEFAULT_K = 10
MOST = 10_000_000
"""the largest k, and offset"""
LEAST_LENGTH = 1e-6
"""of a sum of unit vectors, whose largest weight is 1: a shorter one is rounding"""

Floats = npt.NDArray[np.float32]


class More(TypedDict, total=False):
    """Further options of every search."""

    offset: int
    """leaves out so many of the best hits, for the next page (0)"""
    columns: Sequence[str]
    """further columns of the table in each hit"""
    distinct: Literal["image"] | None
    """"image" (default): one hit for each photo, with all its captions; None: one for each row"""
    min_probability: float | None
    """only hits that match the query with at least this probability; for a query of the other kind than the vectors"""
    against: Modality
    """compares the query with the images of the rows (default), or with their captions: "text" """


class Search:
    """Queries one snapshot of a table. Every method returns at most `k` hits, best first, ties in order of uid.

    Raises:
        TableError: `where` is not SQL over the table's columns.
        UsageError: an option has a value that is not possible.
    """

    def __init__(self, searched: Table, model: str | None = None) -> None:
        self._table = searched
        self._model_name = model or searched.identity.model

    def by_text(self, text: str, k: int = DEFAULT_K, where: str | None = None, **more: Unpack[More]) -> Hits:
        """What is nearest to a text."""
        return self.by(terms.text(text), k, where, **more)

    def by_image(
        self,
        image: bytes | str | Path | Image.Image,
        k: int = DEFAULT_K,
        where: str | None = None,
        **more: Unpack[More],
    ) -> Hits:
        """What is nearest to an image, given as a file's path or bytes, or as a picture of Pillow.

        Raises:
            InputError: the file cannot be read.
            siglip_core.ImageError: it is not an image.
        """
        return self.by(terms.image(image), k, where, **more)

    def by_uid(self, uid: str, k: int = DEFAULT_K, where: str | None = None, **more: Unpack[More]) -> Hits:
        """What is nearest to a row's image, the row itself included. Needs no model.

        Raises:
            TableError: no embedded row has this uid.
        """
        return self.by(terms.uid(uid), k, where, **more)

    def by_vector(
        self, vector: npt.ArrayLike, k: int = DEFAULT_K, where: str | None = None, **more: Unpack[More]
    ) -> Hits:
        """What is nearest to a vector of this model, [D], of any length. It counts as an image: hits have no logits.

        Raises:
            UsageError: the vector has another dimension, or no direction.
        """
        return self.by(terms.vector(vector), k, where, **more)

    def by(self, query: Query, k: int = DEFAULT_K, where: str | None = None, **more: Unpack[More]) -> Hits:
        """What is nearest to a sum of texts, images, rows and vectors:

            search.by(2 * text("a dog") + image("beach.jpg") - text("snow"))

        Raises:
            UsageError: the sum has no direction.
        """
        (hits,) = self.many([query], k, where, **more)
        return hits

    def many(
        self, queries: Sequence[Query | str], k: int = DEFAULT_K, where: str | None = None, **more: Unpack[More]
    ) -> list[Hits]:
        """The hits of several queries, in their order. A str is a text. All texts go through the model together."""
        wanted = self._wanted(k, where, more)
        if isinstance(queries, str):
            raise UsageError("queries: one str is one query; give a list of them, or call by_text")
        asked = [terms.text(query) if isinstance(query, str) else query for query in queries]
        has_logits = [query.modality not in (None, wanted.against) for query in asked]
        if wanted.min_probability is not None and not all(has_logits):
            raise UsageError(
                "min_probability is for a query of the other kind than the vectors it is compared with, such as a text "
                "against images; leave it out"
            )
        vectors = self._vectors(asked)
        return [best(self._table, vector, wanted, has) for vector, has in zip(vectors, has_logits, strict=True)]

    def _wanted(self, k: int, where: str | None, more: More) -> Wanted:
        if unknown := set(more) - set(More.__annotations__):
            raise UsageError(f"{min(unknown)}: no such option; choose from k, where, {', '.join(More.__annotations__)}")
        offset, columns = more.get("offset", 0), more.get("columns", ())
        distinct, against, least = (
            more.get("distinct", "image"),
            more.get("against", "image"),
            more.get("min_probability"),
        )
        _require_number("k", k, 1)
        _require_number("offset", offset, 0)
        if against not in MODALITIES:
            raise UsageError(f"against {against!r}: give one of {', '.join(map(repr, MODALITIES))}")
        if distinct not in ("image", None):
            raise UsageError(f"distinct {distinct!r}: give 'image' for one hit a photo, or None for one a row")
        if least is not None and not 0 <= least <= 1:
            raise UsageError(f"min_probability {least}: give a number from 0 to 1")
        for name in columns:
            if name in schema.SCORES:
                raise UsageError(f"column {name}: a hit has its own {name}, with the query; leave the column out")
            if name not in self._table.schema.names:
                near = get_close_matches(name, self._table.schema.names, n=3) or self._table.schema.names
                raise UsageError(f"table {self._table.uri}: no column {name!r}; choose from {', '.join(near)}")
        return Wanted(
            k=k,
            offset=offset,
            where=where,
            columns=[name for name in dict.fromkeys(columns) if name not in OF_EVERY_HIT],
            distinct=distinct,
            min_probability=least,
            against=against,
        )

    def _vectors(self, queries: Sequence[Query]) -> list[Floats]:
        """The vector of each query, [D]."""
        texts = list(
            dict.fromkeys(term.what.text for query in queries for term in query.terms if isinstance(term.what, Text))
        )
        of_text = dict(zip(texts, self._model.encode_text(texts).numpy(), strict=True)) if texts else {}
        return [self._vector(query, of_text) for query in queries]

    def _vector(self, query: Query, of_text: dict[str, Floats]) -> Floats:
        # In float64, because vectors of any length are taken.
        vectors = [self._of_term(term.what, of_text).astype(np.float64) for term in query.terms]
        units = [vector / np.abs(vector).max() for vector in vectors]
        units = [vector / np.linalg.norm(vector) for vector in units]
        weights = np.array([term.weight for term in query.terms])
        total = np.sum((weights / np.abs(weights).max())[:, None] * np.stack(units), axis=0)
        length = float(np.linalg.norm(total))
        if length < LEAST_LENGTH:
            raise UsageError("the query has no direction: its terms cancel each other; change their weights")
        of_unit_length: Floats = (total / length).astype(np.float32)
        return of_unit_length

    def _of_term(
        self, what: Text | Picture | Row | Vector, of_text: dict[str, Floats]
    ) -> Floats | npt.NDArray[np.float64]:
        match what:
            case Text(text):
                return of_text[text]
            case Picture(image):
                pixels_HWC = self._model.preprocess(_read(image) if isinstance(image, str | Path) else image)
                found: Floats = self._model.encode_image(pixels_HWC[None]).numpy()[0]
                return found
            case Row(uid, modality):
                return self._stored(uid, modality)
            case Vector(numbers):
                if numbers.shape != (self._table.dimension,):
                    raise UsageError(
                        f"vector of shape {numbers.shape}: the vectors of table {self._table.uri} have "
                        f"{self._table.dimension} numbers; embed the query with the table's model"
                    )
                return numbers

    def _stored(self, uid: str, modality: Modality) -> Floats:
        column = schema.IMAGE_VECTOR if modality == "image" else schema.TEXT_VECTOR
        quoted = uid.replace("'", "''")
        found = list(self._table.scan([column], f"{table.EMBEDDED} AND {schema.UID} = '{quoted}'"))
        columns = [kept for batch in found if len(kept := batch[column].drop_null())]
        if not columns:
            of = "" if modality == "image" else " and a caption"
            raise TableError(f"table {self._table.uri}: no embedded row has uid {uid!r}{of}")
        vector: Floats = to_numpy(columns[0])[0].astype(np.float32)
        return vector

    @cached_property
    def _model(self) -> Encoder:
        return encoder.load_same(self._model_name, self._table.identity)


def _require_number(name: str, value: object, least: int) -> None:
    if not isinstance(value, int | np.integer) or not least <= value <= MOST:
        raise UsageError(f"{name} {value!r}: give a whole number from {least} to {MOST}")


def _read(image: str | Path) -> bytes:
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

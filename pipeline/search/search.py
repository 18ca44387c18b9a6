"""Queries a table: what is looked for becomes a vector, and the rows are ranked by their cosines with it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline import encoder, schema, storage, table
from pipeline.errors import InputError, OutdatedError, TableError, UsageError
from pipeline.sample import MAX_IMAGE_BYTES
from pipeline.schema import Identity
from pipeline.search import hybrid, terms
from pipeline.search.access import Snapshot
from pipeline.search.fetching import OF_EVERY_HIT, Sought, Wanted
from pipeline.search.hits import Hits
from pipeline.search.near_names import near_names
from pipeline.search.ranking import best
from pipeline.search.terms import MODALITIES, Modality, Picture, Query, Row, Text, Vector
from pipeline.table import Table
from pipeline.vectors import to_numpy
from siglip_core.errors import ImageError

if TYPE_CHECKING:
    from siglip_core.encoder import Encoder

DEFAULT_K = 10
MOST = 10_000_000
"""the largest k, and offset"""
TRIES = 3
"""of a search whose version of the table is removed while it is read"""
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
    exact: bool
    """compares the query with all vectors, also where the table has an index (False)"""
    words: str | None
    """only rows whose captions have all these words; needs the full-text index that `siglane index` builds"""
    hybrid: bool
    """ranks by the words too: by reciprocal rank of the cosine and of the match of the captions with `words`, or with
    the texts of the query if there are no `words` (False)"""


class Search:
    """Queries a table: at each call its newest version, or always the version in its address.

    Every method returns at most `k` hits, best first, ties in order of uid. Several threads may call them at once.

    Raises:
        TableError: `where` is not SQL over the table's columns.
        UsageError: an option has a value that is not possible.
    """

    def __init__(self, searched: Table, model: str | None = None) -> None:
        self._model_name = model or searched.identity.model
        self._snapshot = Snapshot(searched)
        self._moving_on = threading.Lock()
        self._encoder: tuple[Identity, Encoder] | None = None
        self._loading = threading.Lock()

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
        """What is nearest to an image, given as a file's path, URI or bytes, or as a picture of Pillow.

        A URI is read from its store or web server, as that of an input is.

        Raises:
            InputError: the file cannot be read, or is larger than an image may be.
            StorageError: its store failed.
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
        if isinstance(queries, str):
            raise UsageError("queries: one str is one query; give a list of them, or call by_text")
        asked = [terms.text(query) if isinstance(query, str) else query for query in queries]
        snapshot = self._newest()
        for _ in range(TRIES - 1):
            try:
                return self._many(snapshot, asked, k, where, more)
            except OutdatedError:
                if snapshot.table.uri.state is not None:
                    raise
                snapshot = self._newest(afresh=True)
        return self._many(snapshot, asked, k, where, more)

    def _newest(self, afresh: bool = False) -> Snapshot:
        with self._moving_on:
            found = table.newest(self._snapshot.table, afresh)
            if found is not self._snapshot.table:
                self._snapshot = Snapshot(found)
            return self._snapshot

    def _many(self, snapshot: Snapshot, asked: Sequence[Query], k: int, where: str | None, more: More) -> list[Hits]:
        wanted = _wanted(snapshot.table, k, where, more)
        vectors = self._vectors(snapshot.table, asked)
        sought = [Sought(vector, query.modality) for vector, query in zip(vectors, asked, strict=True)]
        if wanted.min_probability is not None and not all(query.has_logits(wanted) for query in sought):
            raise UsageError(
                "min_probability is for a query of the other kind than the vectors it is compared with, such as a text "
                "against images; leave it out"
            )
        if not more.get("hybrid", False):
            return best(snapshot, sought, wanted)
        words = [wanted.words or _texts(query) for query in asked]
        without = replace(wanted, words=None)
        return [hybrid.best(snapshot, *query, without) for query in zip(sought, words, strict=True)]

    def _vectors(self, searched: Table, queries: Sequence[Query]) -> list[Floats]:
        """The vector of each query, [D]."""
        texts = list(
            dict.fromkeys(term.what.text for query in queries for term in query.terms if isinstance(term.what, Text))
        )
        of_text = dict(zip(texts, self._model(searched).encode_text(texts).numpy(), strict=True)) if texts else {}
        return [self._vector(searched, query, of_text) for query in queries]

    def _vector(self, searched: Table, query: Query, of_text: dict[str, Floats]) -> Floats:
        # In float64, because vectors of any length are taken.
        vectors = [self._of_term(searched, term.what, of_text).astype(np.float64) for term in query.terms]
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
        self, searched: Table, what: Text | Picture | Row | Vector, of_text: dict[str, Floats]
    ) -> Floats | npt.NDArray[np.float64]:
        match what:
            case Text(text):
                return of_text[text]
            case Picture(image):
                model = self._model(searched)
                pixels_HWC = _preprocessed(model, image)
                found: Floats = model.encode_image(pixels_HWC[None]).numpy()[0]
                return found
            case Row(uid, modality):
                return _stored(searched, uid, modality)
            case Vector(numbers):
                if numbers.shape != (searched.dimension,):
                    raise UsageError(
                        f"vector of shape {numbers.shape}: the vectors of table {searched.uri} have "
                        f"{searched.dimension} numbers; embed the query with the table's model"
                    )
                return numbers

    def _model(self, searched: Table) -> Encoder:
        with self._loading:
            if self._encoder is None or self._encoder[0] != searched.identity:
                self._encoder = searched.identity, encoder.load_same(self._model_name, searched.identity)
            return self._encoder[1]


def _stored(searched: Table, uid: str, modality: Modality) -> Floats:
    column = schema.IMAGE_VECTOR if modality == "image" else schema.TEXT_VECTOR
    quoted = uid.replace("'", "''")
    found = list(searched.scan([column], f"{table.EMBEDDED} AND {schema.UID} = '{quoted}'"))
    columns = [kept for batch in found if len(kept := batch[column].drop_null())]
    if not columns:
        of = "" if modality == "image" else " and a caption"
        raise TableError(f"table {searched.uri}: no embedded row has uid {uid!r}{of}")
    vector: Floats = to_numpy(columns[0])[0].astype(np.float32)
    return vector


def _wanted(searched: Table, k: int, where: str | None, more: More) -> Wanted:
    if unknown := set(more) - set(More.__annotations__):
        raise UsageError(f"{min(unknown)}: no such option; choose from k, where, {', '.join(More.__annotations__)}")
    offset, columns = more.get("offset", 0), more.get("columns", ())
    distinct, against, least = (
        more.get("distinct", "image"),
        more.get("against", "image"),
        more.get("min_probability"),
    )
    words = more.get("words")
    _require_number("k", k, 1)
    _require_number("offset", offset, 0)
    if against not in MODALITIES:
        raise UsageError(f"against {against!r}: give one of {', '.join(map(repr, MODALITIES))}")
    if distinct not in ("image", None):
        raise UsageError(f"distinct {distinct!r}: give 'image' for one hit a photo, or None for one a row")
    if least is not None and not 0 <= least <= 1:
        raise UsageError(f"min_probability {least}: give a number from 0 to 1")
    if words is not None or more.get("hybrid", False):
        _require_words(searched, words)
    for name in columns:
        if name in schema.SCORES:
            raise UsageError(f"column {name}: a hit has its own {name}, with the query; leave the column out")
        if name not in searched.schema.names:
            near = ", ".join(near_names(name, searched.schema.names))
            raise UsageError(f"table {searched.uri}: no column {name!r}; choose from {near}")
    return Wanted(
        k=k,
        offset=offset,
        where=where,
        columns=[name for name in dict.fromkeys(columns) if name not in OF_EVERY_HIT],
        distinct=distinct,
        min_probability=least,
        against=against,
        exact=more.get("exact", False),
        words=words,
    )


def _require_words(searched: Table, words: str | None) -> None:
    if words is not None and not (isinstance(words, str) and words.strip()):
        raise UsageError(f"words {words!r}: give a str of one word or more")
    if not table.has_text_index(searched, schema.CAPTION):
        build = searched.uri.command("index")
        raise UsageError(f"table {searched.uri}: it has no full-text index of its captions; build it with {build}")


def _texts(query: Query) -> str:
    texts = [term.what.text for term in query.terms if isinstance(term.what, Text) and term.weight > 0]
    if not texts:
        raise UsageError("hybrid needs words: give a text, or `words`")
    return " ".join(texts)


def _require_number(name: str, value: object, least: int) -> None:
    if not isinstance(value, int | np.integer) or not least <= value <= MOST:
        raise UsageError(f"{name} {value!r}: give a whole number from {least} to {MOST}")


def _preprocessed(model: Encoder, image: bytes | str | Path | Image.Image) -> npt.NDArray[np.uint8]:
    if not isinstance(image, str | Path):
        return model.preprocess(image)
    try:
        return model.preprocess(_read(image))
    except ImageError as error:
        raise ImageError(error.reason, f"image {storage.redact(str(image))}: {error}") from error


def _read(image: str | Path) -> bytes:
    """The bytes of a local file, or of one in a store or on a web server."""
    name = storage.redact(str(image))
    try:
        if isinstance(image, str) and "://" in image:
            return storage.read_bytes(image, MAX_IMAGE_BYTES, "image")
        with Path(image).open("rb") as file:
            data = file.read(MAX_IMAGE_BYTES + 1)
    except storage.TooLargeError as error:
        raise _too_large(name) from error
    except storage.AbsentError as error:
        raise InputError(f"image {name}: there is no such file; give the path, URI or bytes of an image") from error
    except OSError as error:
        raise InputError(f"image {name}: {error.strerror}; give the path, URI or bytes of an image") from error
    if len(data) > MAX_IMAGE_BYTES:
        raise _too_large(name)
    return data


def _too_large(name: str) -> InputError:
    return InputError(f"image {name}: more than the limit of {MAX_IMAGE_BYTES} bytes; give a smaller copy")


def open(table_uri: str | Path, model: str | None = None) -> Search:  # noqa: A001 - read as search.open(…)
    """Opens a table for queries. `model`: the encoder's folder, if it has moved since the table was made.

    Raises:
        TableError: there is no such table.
    """
    return Search(table.open_table(table.parse(str(table_uri))), model)

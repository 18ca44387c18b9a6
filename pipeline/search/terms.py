"""What a search looks for: texts, images, rows and vectors, and weighted sums of them.

2 * search.text("a dog") + search.image("beach.jpg") - search.text("snow")
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.errors import UsageError

Modality = Literal["image", "text"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)


@dataclass(frozen=True)
class Text:
    text: str


@dataclass(frozen=True)
class Picture:
    image: bytes | str | Path | Image.Image
    """a file's bytes, path or URI, or a picture that is open in Pillow"""


@dataclass(frozen=True)
class Row:
    uid: str
    vector: Modality
    """which of the row's vectors"""


@dataclass(frozen=True, eq=False)
class Vector:
    numbers: npt.NDArray[np.float64]
    modality: Modality


@dataclass(frozen=True)
class Term:
    what: Text | Picture | Row | Vector
    weight: float = 1.0

    @property
    def modality(self) -> Modality:
        match self.what:
            case Text():
                return "text"
            case Picture():
                return "image"
            case Row(vector=modality) | Vector(modality=modality):
                return modality


@dataclass(frozen=True)
class Query:
    """A sum of terms. Its vector is the weighted sum of their unit vectors."""

    terms: tuple[Term, ...]

    @property
    def modality(self) -> Modality | None:
        """That of all terms; None for a mixture, which lies between images and texts."""
        (first, *others) = {term.modality for term in self.terms}
        return None if others else first

    def __add__(self, other: Query) -> Query:
        return Query((*self.terms, *other.terms))

    def __sub__(self, other: Query) -> Query:
        return self + -1.0 * other

    def __mul__(self, factor: float) -> Query:
        if not np.isfinite(factor) or factor == 0:
            raise UsageError(f"weight {factor}: a term needs a finite weight other than 0")
        return Query(tuple(replace(term, weight=term.weight * factor) for term in self.terms))

    __rmul__ = __mul__


def text(words: str) -> Query:
    """A text. Raises UsageError for anything but a str."""
    if not isinstance(words, str):
        raise UsageError(f"text of type {type(words).__name__}: give one str; `many` takes several queries")
    return Query((Term(Text(words)),))


def image(picture: bytes | str | Path | Image.Image) -> Query:
    """An image: a file's path, URI or bytes, or a picture of Pillow. Raises UsageError for anything else."""
    if not isinstance(picture, bytes | str | Path | Image.Image):
        raise UsageError(f"image of type {type(picture).__name__}: give a file's path, or the file's bytes")
    return Query((Term(Picture(picture)),))


def uid(name: str, vector: Modality = "image") -> Query:
    """A row of the table: its image, or with `vector="text"` its caption. Needs no model."""
    if not isinstance(name, str):
        raise UsageError(f"uid of type {type(name).__name__}: give a str")
    return Query((Term(Row(name, _known(vector))),))


def vector(numbers: npt.ArrayLike, modality: Modality = "image") -> Query:
    """A vector of the table's model, [D], of any length, made from an image or from a text.

    Raises:
        UsageError: it has no direction.
    """
    array = np.asarray(numbers, np.float64)
    if not np.isfinite(array).all() or not array.any():
        raise UsageError("the vector has no direction: its numbers are all 0, or some are not finite")
    return Query((Term(Vector(array, _known(modality))),))


def _known(modality: Modality) -> Modality:
    if modality not in MODALITIES:
        raise UsageError(f"{modality!r}: give one of {', '.join(map(repr, MODALITIES))}")
    return modality

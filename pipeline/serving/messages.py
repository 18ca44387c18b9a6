"""The JSON of requests and answers: what the OpenAPI description shows."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, EncodedBytes, EncoderProtocol, Field, model_validator

from pipeline import schema, search
from pipeline.serving import conditions, limits

Uid = Annotated[str, Field(pattern=f"^{schema.UID_PATTERN}$", description="32 hex characters")]
Vector = Literal["image", "text"]
Finite = Annotated[float, Field(allow_inf_nan=False)]


def _real_text(text: str) -> str:
    if "\0" in text:
        raise ValueError("a text must not hold the character NUL")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("a text must not hold half of a surrogate pair") from error
    return text


Words = Annotated[str, AfterValidator(_real_text)]
ColumnName = Annotated[Words, Field(min_length=1, max_length=200)]
Where = Annotated[
    Words,
    Field(
        max_length=conditions.MOST_CHARACTERS,
        description="condition on the table's columns, e.g. cosine >= 0.2 AND source LIKE 'a%'",
    ),
]


class _Base64(EncoderProtocol):
    """Refuses what is no base64; pydantic's own encoder leaves such characters out. Lines may be broken."""

    @classmethod
    def decode(cls, data: bytes) -> bytes:
        try:
            return base64.b64decode(b"".join(data.split()), validate=True)
        except ValueError as error:
            raise ValueError(f"not base64: {error}") from error

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return base64.b64encode(value)

    @classmethod
    def get_json_format(cls) -> str:
        return "base64"


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Term(_Request):
    """One part of a query: exactly one of `text`, `image` and `uid`."""

    text: Annotated[Words, Field(min_length=1, max_length=limits.MOST_TEXT)] | None = None
    image: Annotated[bytes, EncodedBytes(encoder=_Base64)] | None = Field(None, description="an image file, in base64")
    uid: Uid | None = Field(None, description="a row of the table")
    vector: Vector = Field("image", description="with uid: which vector of the row, of its image or its caption")
    weight: Finite = Field(1.0, ge=-1000, le=1000, description="negative: keep away from this; not 0")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(given is not None for given in (self.text, self.image, self.uid)) != 1:
            raise ValueError("give exactly one of text, image and uid")
        if self.weight == 0:
            raise ValueError("a term needs a weight other than 0")
        return self


class SearchRequest(_Request):
    """What to look for: the sum of the terms, and which of the rows nearest to it are wanted."""

    terms: list[Term] = Field(min_length=1, max_length=limits.MOST_TERMS)
    k: int = Field(search.DEFAULT_K, ge=1, le=100_000, description="hits; /api/table says how many are allowed")
    offset: int = Field(0, ge=0, le=limits.MOST_OFFSET, description="leave out so many of the best hits")
    where: Where | None = None
    columns: list[ColumnName] = Field([], max_length=limits.MOST_COLUMNS, description="further columns of each hit")
    distinct: Literal["image", "row"] = Field("image", description="one hit for each photo, or for each row")
    against: Vector = Field("image", description="compare with the images of the rows, or with their captions")
    min_probability: Finite | None = Field(None, ge=0, le=1)
    words: Annotated[Words, Field(min_length=1, max_length=limits.MOST_TEXT)] | None = Field(
        None, description="only rows whose captions have all these words; needs the index that `siglane index` builds"
    )
    hybrid: bool = Field(False, description="rank by the words too: by `words`, or else by the texts that are added")
    exact: bool = Field(False, description="compare with all vectors, also where the table has an index")

    @model_validator(mode="after")
    def _words_to_rank_by(self) -> Self:
        if self.hybrid and not (self.words or self.texts):
            raise ValueError("hybrid needs words: give a term with a text, or words")
        return self

    @property
    def texts(self) -> str:
        """The texts that the query is to be near to."""
        return " ".join(term.text for term in self.terms if term.text is not None and term.weight > 0)


class Hit(BaseModel):
    uid: str
    cosine: float
    logit: float | None
    probability: float | None
    caption: str | None
    captions: list[str]
    source: str
    key: str
    columns: dict[str, Any]


class SearchAnswer(BaseModel):
    version: int
    hits: list[Hit]


class RowAnswer(BaseModel):
    version: int
    row: dict[str, Any]


class Column(BaseModel):
    name: str
    type: str
    kind: Literal["text", "number", "flag", "time", "other"]
    filterable: bool
    values: list[str] = Field(description="the values of a column with few, the most frequent first, by the sample")
    low: float | None
    high: float | None
    empty: float = Field(description="share of the sample without a value")


class AllowedHere(BaseModel):
    max_k: int
    max_body: int
    max_pixels: int
    max_seconds: float


class TableAnswer(BaseModel):
    table: str
    version: int
    rows: int
    by_status: dict[str, int]
    fragments: int
    model: str
    dimension: int
    has_model: bool = Field(description="whether texts and images can be searched for")
    has_captions: bool
    has_words: bool = Field(description="whether captions can be searched for words")
    has_images: bool = Field(description="whether images of rows can be shown")
    sampled: int = Field(description="rows that the facts of the columns are from")
    columns: list[Column]
    limits: AllowedHere


class CurvesAnswer(BaseModel):
    thresholds: list[float]
    kept: list[float]
    mismatched: dict[str, list[float]]


class CutAnswer(BaseModel):
    version: int
    by: str
    pairs: int
    missing: int
    edges: list[float]
    counts: list[float]
    shuffled: list[float] | None = Field(description="captions dealt to random other images; null if not known")
    curves: CurvesAnswer | None
    why_no_curves: str | None
    contradicted: float | None = Field(description="share of pairs that contradict random wrong captions")


class Example(BaseModel):
    uid: str
    caption: str | None
    source: str
    key: str
    score: float | None


class AtCutAnswer(BaseModel):
    version: int
    kept: int
    above: list[Example]
    below: list[Example]
    command: str


class DrawRequest(_Request):
    """Pairs to label, drawn as `siglane label` draws them."""

    by: ColumnName = "cosine"
    where: Where | None = None
    max_mismatch_fraction: Finite = Field(0.05, gt=0, lt=1)
    count: int = Field(200, ge=1, le=2_000)
    seed: int = Field(0, ge=0, le=2**31)


class DrawnPair(BaseModel):
    uid: str
    caption: str | None
    values: str = Field(description="score,stratum,inclusion_probability as they stand in a file of labels")


class DrawAnswer(BaseModel):
    draw: str
    record: str = Field(description="the column draw of every row of labels")
    header: str = Field(description="first line of a file of labels")
    pairs: list[DrawnPair]
    command: str = Field(description="that cuts with the labels")


class Reject(BaseModel):
    source: str
    source_row: int
    key: str
    uid: str
    stage: str | None
    reason: str | None
    message: str | None


class RejectsAnswer(BaseModel):
    version: int
    rejected: int
    by_reason: dict[str, int]
    worst_sources: dict[str, int]
    rows: list[Reject]


class MapAnswer(BaseModel):
    version: int
    rows: int
    uids: list[str]
    captions: list[str | None]
    x: list[float]
    y: list[float]
    values: list[Any]
    explained: float


class SessionRequest(_Request):
    token: str = Field(min_length=1, max_length=1_000)


class Problem(BaseModel):
    """An error, as RFC 9457 describes them."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str

"""The table's contract: the only file that defines its column names, types and metadata keys.

One row is one image–text pair of the input, embedded or rejected. (`source`, `source_row`) is unique. It is the ledger
that makes a run resumable, and it leads back to the original bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, fields
from typing import Literal

import pyarrow as pa

SCHEMA_VERSION = 1

UID = "uid"
KEY = "key"
SOURCE = "source"
SOURCE_VERSION = "source_version"
SOURCE_ROW = "source_row"
SOURCE_ROWS = "source_rows"
MEMBER = "member"
CAPTION = "caption"
ORIGINAL_WIDTH = "original_width"
ORIGINAL_HEIGHT = "original_height"
IMAGE_SHA256 = "image_sha256"
STATUS = "status"
STAGE = "stage"
REASON = "reason"
ERROR_MESSAGE = "error_message"
IMAGE_VECTOR = "image_vector"
TEXT_VECTOR = "text_vector"
COSINE = "cosine"
LOGIT = "logit"
PROBABILITY = "probability"

SCORES = (COSINE, LOGIT, PROBABILITY)

IMAGE_IDENTITY = "image_identity"
"""string, null: rows with equal values show the same image. Only tables of imported vectors have it, whose images were
not read, so that `image_sha256` is null."""
IMAGE_IDENTITY_FIELD = pa.field(IMAGE_IDENTITY, pa.string())

# columns that `siglane embed --image-statistics` adds; `pipeline.stages.image_statistics` says what they are
IMAGE_STATISTICS = ("image_sharpness", "image_brightness", "image_contrast", "image_entropy", "image_border")
IMAGE_STATISTICS_FIELDS = tuple(pa.field(name, pa.float32()) for name in IMAGE_STATISTICS)

THUMBNAIL = "thumbnail"
"""binary, null: a small JPEG of the image, which `siglane embed --thumbnail-px` stores; null where the row is rejected
or has no image"""
THUMBNAIL_PX_KEY = "siglane:thumbnail_px"
"""in the column THUMBNAIL: the most pixels that a side of its images has"""

# columns that `siglane dedup` adds
DUPLICATE_OF = "duplicate_of"
DUPLICATE_METHOD = "duplicate_method"
DEDUP_JUDGED = "dedup_judged"
"""the comparisons that a row was part of, separated by commas: METHOD, or METHOD@TABLE against another table"""
IMAGE_HASH = "image_hash"
"""32 hex characters: the dhash of the image, 64 bits of its rows and 64 of its columns"""

DUPLICATES = (DUPLICATE_OF, DUPLICATE_METHOD, DEDUP_JUDGED)

# values of STATUS
SUCCESS = "success"
REJECTED = "rejected"
REMOVED = "removed"
"""a tombstone: its pair is never embedded again"""

IDENTITY_KEY = "siglane:identity"
VERSION_KEY = "siglane:schema_version"
SETTINGS_KEY = "siglane:settings"
"""in a commit: the options of the run that made it"""
RUN_KEY = "siglane:run"
"""in a commit: `id` of the run that made it, and how many rows it adds by status, as JSON"""
TARGET_KEY = "siglane:target"
"""in a column: the target of its values (table, version, images), as JSON"""
ESTIMATE_KEY = "siglane:estimate"
"""in the first column of a signal: the estimate that its values are computed by, as JSON"""
SIGNAL_KEY = "siglane:signal"
"""in a column: the signal that computed its values (name, version), as JSON"""

VectorDtype = Literal["float16", "float32"]

# A pair before it is embedded: the columns that the read and decode stages fill.
PAIR_FIELDS = (
    pa.field(UID, pa.string(), nullable=False),
    pa.field(KEY, pa.string(), nullable=False),
    pa.field(SOURCE, pa.string(), nullable=False),
    pa.field(SOURCE_VERSION, pa.string(), nullable=False),
    pa.field(SOURCE_ROW, pa.int64(), nullable=False),
    # Number of samples in the source. With it, a resumed run can skip a finished source without reading it.
    pa.field(SOURCE_ROWS, pa.int64()),
    pa.field(MEMBER, pa.string()),
    pa.field(CAPTION, pa.string()),
    pa.field(ORIGINAL_WIDTH, pa.int32()),
    pa.field(ORIGINAL_HEIGHT, pa.int32()),
    pa.field(IMAGE_SHA256, pa.string()),
    pa.field(STATUS, pa.string(), nullable=False),
    pa.field(STAGE, pa.string()),
    pa.field(REASON, pa.string()),
    pa.field(ERROR_MESSAGE, pa.string()),
)


UNKNOWN_MODEL = "unknown (imported vectors)"
"""the model's name in the identity of vectors that were imported without one"""


@dataclass(frozen=True)
class Identity:
    """The identity of the encoder that made a table's vectors. Vectors of different identities must never share a
    column.

    The fields above `model` are compared before anything is written. The others are information for readers and for
    `score`.
    """

    weights: str
    """sha256 of the canonical state dict; it does not depend on the file layout of the weights"""
    preprocessing: str
    """name and mode of the image preprocessing, e.g. `hf-bicubic-aa`"""
    tokenizer: str | None
    """sha256 of the tokenizer, None for a model without one"""
    precision: str
    """dtype in which the encoders ran"""
    dimension: int
    """D, the length of a vector"""

    model: str
    """the name or folder that the user gave"""
    logit_scale: float
    """exp(t) of logit = exp(t) · cosine + b"""
    logit_bias: float
    """b"""
    versions: tuple[tuple[str, str], ...] = ()
    """versions of the libraries, as (name, version)"""

    COMPARED = ("weights", "preprocessing", "tokenizer", "precision", "dimension")

    def differences(self, other: Identity) -> list[tuple[str, object, object]]:
        """The compared fields that differ, as (field, ours, theirs)."""
        pairs = [(name, getattr(self, name), getattr(other, name)) for name in self.COMPARED]
        return [(name, ours, theirs) for name, ours, theirs in pairs if ours != theirs]

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Identity:
        record = json.loads(text)
        known = {field.name for field in fields(cls)}
        values = {name: value for name, value in record.items() if name in known}
        values["versions"] = tuple((name, version) for name, version in values["versions"])
        return cls(**values)


def pair_schema(kept: pa.Schema | None = None) -> pa.Schema:
    """Columns of a pair before it is embedded: the contract's columns, then the columns kept from the source."""
    return pa.schema([*PAIR_FIELDS, *(kept or ())])


def table_schema(identity: Identity, kept: pa.Schema | None = None, vectors: VectorDtype = "float16") -> pa.Schema:
    """The schema of the complete table, with its identity in the metadata."""
    vector = pa.list_(pa.float16() if vectors == "float16" else pa.float32(), identity.dimension)
    return pa.schema(
        [
            *PAIR_FIELDS,
            pa.field(IMAGE_VECTOR, vector),
            pa.field(TEXT_VECTOR, vector),
            *(pa.field(name, pa.float32()) for name in SCORES),
            *(kept or ()),
        ],
        metadata={VERSION_KEY: str(SCHEMA_VERSION), IDENTITY_KEY: identity.to_json()},
    )


def thumbnail_field(px: int) -> pa.Field:
    return pa.field(THUMBNAIL, pa.binary(), metadata={THUMBNAIL_PX_KEY: str(px)})


def thumbnail_px(table: pa.Schema) -> int | None:
    """The most pixels that a side of the thumbnails in a table has; None if the table stores none.

    A column of this name that was kept from a source stores none.
    """
    metadata = table.field(THUMBNAIL).metadata if THUMBNAIL in table.names else None
    px = (metadata or {}).get(THUMBNAIL_PX_KEY.encode())
    return None if px is None else int(px)


def kept_name(column: str) -> str:
    """The name for a column kept from the source. A column with a name of the contract gets the prefix `source_`."""
    taken = {field.name for field in PAIR_FIELDS}
    taken |= {IMAGE_VECTOR, TEXT_VECTOR, *SCORES, *DUPLICATES, IMAGE_HASH, IMAGE_IDENTITY, *IMAGE_STATISTICS, THUMBNAIL}
    return f"source_{column}" if column in taken else column


def is_free_name(name: str) -> bool:
    """Whether a new column can have this name, and SQL can use it without quotes."""
    return bool(_NAME_PATTERN.fullmatch(name)) and not name.startswith("_row") and kept_name(name) == name


_NAME_PATTERN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
UID_PATTERN = "[0-9a-f]{32}"
"""regular expression for a complete uid"""


def is_uid(text: str) -> bool:
    return re.fullmatch(UID_PATTERN, text) is not None


def make_uid(source: str, key: str, own: str | None = None) -> str:
    """32 hex characters: the source's own uid `own` if it is valid, otherwise a 128-bit hash of source path and key."""
    if own is not None and is_uid(own):
        return own
    return hashlib.blake2b(f"{source}\0{key}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

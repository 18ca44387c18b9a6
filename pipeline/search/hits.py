"""What a search finds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline import schema

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Hit:
    """A row that was found; with `distinct="image"` a photo, by its first row.

    `logit` and `probability` are None where query and vectors are of one kind: the sigmoid's scale and bias were
    learned between images and texts, and have no meaning between two images.
    """

    uid: str
    cosine: float
    logit: float | None
    probability: float | None
    caption: str | None
    source: str
    key: str
    captions: tuple[str, ...] = ()
    """the captions of all rows of the photo that were found, without repeats"""
    columns: Mapping[str, Any] = field(default_factory=dict)
    """the further columns that were asked for"""

    def as_dict(self) -> dict[str, Any]:
        """All values, the further columns beside the others."""
        values = asdict(self)
        return {**values.pop("columns"), **values, "captions": list(self.captions)}


class Hits(list[Hit]):
    """Hits, best first."""

    def __init__(self, hits: Iterable[Hit] = (), further: Iterable[pa.Field] = ()) -> None:
        """`further`: the further columns, as the table has them. They stand in a table without hits too."""
        super().__init__(hits)
        self._further = tuple(further)

    def to_arrow(self) -> pa.Table:
        """One row a hit: the fields of `Hit`, then the further columns with their types."""
        fields = [
            (schema.UID, pa.string()),
            *((name, pa.float32()) for name in schema.SCORES),
            (schema.CAPTION, pa.string()),
            (schema.SOURCE, pa.string()),
            (schema.KEY, pa.string()),
            ("captions", pa.list_(pa.string())),
        ]
        columns = {name: pa.array([getattr(hit, name) for hit in self], kind) for name, kind in fields}
        further = {each.name: pa.array([hit.columns[each.name] for hit in self], each.type) for each in self._further}
        return pa.table(columns | further)

    def to_pandas(self) -> pd.DataFrame:
        """As `to_arrow`."""
        return self.to_arrow().to_pandas()

"""The target of a signal: the images, of this or another table, to compare with. A column records its target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

import numpy as np

from pipeline import schema
from pipeline.errors import IdentityError, TableError
from pipeline.scoring.origin import Origin, Record, require_origin
from pipeline.table import EMBEDDED, Table, TableUri, open_table
from pipeline.vectors import Vectors, to_numpy


@dataclass(frozen=True)
class Target:
    vectors: Vectors
    """[M, D], in the stored dtype; all in memory: 2 x M x D bytes for float16"""
    table: str
    version: int

    @cached_property
    def record(self) -> dict[str, object]:
        """The record of this target in a column. Only the digest is compared: tags and scores do not change it."""
        digest = blake2b(np.ascontiguousarray(self.vectors).data, digest_size=16).hexdigest()
        return {"table": self.table, "version": self.version, "images": len(self.vectors), "digest": digest}


def read_target(uri: TableUri, scored: Table) -> Target:
    """Reads the image vectors of the embedded rows of the table `uri`, to compare with those of the table `scored`.

    Vectors without a direction (zeros, NaN) are skipped.

    Raises:
        TableError: there is no such table, or it has no image vectors.
        IdentityError: another model made them.
    """
    table = open_table(uri)
    for name, theirs, ours in table.identity.differences(scored.identity):
        raise IdentityError(
            f"target {uri}: its vectors were made with {name} {theirs}, but those of {scored.uri} with {ours}; "
            "embed one of the tables with the model of the other"
        )
    condition = f"{EMBEDDED} AND {schema.IMAGE_VECTOR} IS NOT NULL"
    # filled part by part, because joining the parts would need twice the memory
    dtype = table.schema.field(schema.IMAGE_VECTOR).type.value_type.to_pandas_dtype()
    target_MD = np.empty((table.count(condition), table.dimension), dtype)
    filled = 0
    for part in _with_a_direction(table, condition):
        target_MD[filled : filled + len(part)] = part
        filled += len(part)
    if not filled:
        raise TableError(f"target {uri}: no image vectors; embed the target images into it first")
    return Target(target_MD[:filled], str(uri), table.version)


def _with_a_direction(table: Table, condition: str) -> Iterator[Vectors]:
    for batch in table.scan([schema.IMAGE_VECTOR], condition, sparing=True):
        image_ND = to_numpy(batch[schema.IMAGE_VECTOR])
        norms = np.linalg.norm(image_ND.astype(np.float32), axis=1)
        yield image_ND[np.isfinite(norms) & (norms > 0)]


def require_target(uri: TableUri, columns: Sequence[str], target: Target, again: bool, work: str) -> None:
    """Makes sure that all values of the columns belong to this target, and records it in the columns.

    Raises:
        TableError: as `require_origin`.
    """

    def described(found: Record | None) -> str:
        there = "another target" if found is None else f"target {found['table']}, version {found['version']}"
        return (
            f"its {columns[0]} was computed for {there}, with other images than {target.table}; give that target to "
            "fill the missing rows"
        )

    require_origin(uri, columns, Origin(schema.TARGET_KEY, target.record, ("digest",)), again, work, described)

"""One commit that deletes rows of a table and adds others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lance
import pyarrow as pa
from lance.fragment import FragmentMetadata

from pipeline.fileformats.row_address import by_fragment
from pipeline.table.store import Table


def swap(table: Table, gone: pa.Array, new: Sequence[FragmentMetadata]) -> Any:
    """The operation that deletes the rows at the addresses `gone` (uint64) and adds fragments: both or neither.

    It always lists the table's first fragment as updated, even if that does not change. So Lance refuses the operation
    if another one of this kind has been committed since.
    """
    updated, removed = {}, []
    for fragment_id, places in by_fragment(gone.to_numpy(zero_copy_only=False)).items():
        left = table.lance.get_fragment(fragment_id).delete_rows(places)
        if left is None:
            removed.append(fragment_id)
        else:
            updated[fragment_id] = left
    first = table.lance.get_fragments()[0]
    if first.fragment_id not in removed:
        updated.setdefault(first.fragment_id, first.metadata)
    return lance.LanceOperation.Update(
        removed_fragment_ids=removed, updated_fragments=list(updated.values()), new_fragments=list(new)
    )

"""One commit that takes rows out of a table and brings others in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lance
import numpy as np
import pyarrow as pa
from lance.fragment import FragmentMetadata

from pipeline.table.store import Table

_OFFSET_BITS = 32


def swap(table: Table, gone: pa.Array, new: Sequence[FragmentMetadata]) -> Any:
    """The operation that deletes the rows at the addresses `gone` (uint64) and adds fragments: both, or neither.

    It lists the table's first fragment as updated even where nothing in it changes: Lance refuses it then once any
    other such operation has been committed since.
    """
    addresses = np.sort(gone.to_numpy(zero_copy_only=False))
    fragments, starts = np.unique(addresses >> _OFFSET_BITS, return_index=True)
    offsets = np.split(addresses & ((1 << _OFFSET_BITS) - 1), starts[1:]) if len(addresses) else []
    updated, removed = {}, []
    for fragment_id, rows in zip(fragments.tolist(), offsets, strict=True):
        left = table.dataset.get_fragment(fragment_id).delete_rows(rows)
        if left is None:
            removed.append(fragment_id)
        else:
            updated[fragment_id] = left
    first = table.dataset.get_fragments()[0]
    if first.fragment_id not in removed:
        updated.setdefault(first.fragment_id, first.metadata)
    return lance.LanceOperation.Update(
        removed_fragment_ids=removed, updated_fragments=list(updated.values()), new_fragments=list(new)
    )

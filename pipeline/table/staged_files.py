"""Checks that staged files are where a commit looks for them. A commit that names a missing file breaks the table."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.errors import TableError
from pipeline.table.presence import missing
from pipeline.table.uri import TableUri
from pipeline.wording import counted, noun


def require_staged(uri: TableUri, names: Sequence[str]) -> None:
    """Looks for files in the table's folder, by their names there. Costs a request each on an object store.

    Raises:
        TableError: a file is missing. Another node wrote it to a folder of its own, or a cleanup deleted it.
        StorageError: the store still failed after retries.
    """
    if lost := missing(uri, [f"data/{name}" for name in names]):
        are = noun(len(lost), "is", "are")
        raise TableError(
            f"table {uri}: {counted(len(lost), 'staged file')}, e.g. {lost[0].removeprefix('data/')}, {are} not in "
            f"{uri.dataset}/data. Either a node wrote to a local folder of its own: put the table on a path that all "
            "nodes share, or on an object store. Or a cleanup deleted them, e.g. `siglane verify --clean` while this "
            "run was suspended, or one by a clock that is days ahead: run the same command again"
        )

"""Checks that staged files are where a commit looks for them. A commit that names a missing file breaks the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.errors import TableError
from pipeline.storage.filesystems import locate
from pipeline.storage.retries import AbsentError, patiently
from pipeline.table.uri import TableUri

REQUESTS_AT_ONCE = 16


def require_staged(uri: TableUri, names: Sequence[str]) -> None:
    """Looks for files in the table's folder, by their names there. Costs a request each on an object store.

    Raises:
        TableError: a file is missing. Another node wrote it to a folder of its own, or a cleanup deleted it.
        StorageError: the store still failed after retries.
    """
    is_there = _in_folder(uri) if "://" not in uri.database else _on_store(uri)
    with ThreadPoolExecutor(min(REQUESTS_AT_ONCE, len(names) or 1), thread_name_prefix="look") as pool:
        missing = [name for name, found in zip(names, pool.map(is_there, names), strict=True) if not found]
    if missing:
        raise TableError(
            f"table {uri}: {len(missing)} staged files, e.g. {missing[0]}, are not in {uri.dataset}/data. "
            "Either a node wrote to a local folder of its own: put the table on a path that all nodes share, or on an "
            "object store. Or a cleanup deleted them, e.g. by a clock that is days ahead: run the same command again"
        )


def _in_folder(uri: TableUri) -> Callable[[str], bool]:
    folder = Path(uri.dataset, "data")
    return lambda name: (folder / name).exists()


def _on_store(uri: TableUri) -> Callable[[str], bool]:
    filesystem, folder = locate(uri.dataset, "table")
    filesystem.invalidate_cache()  # a listing from before the files were written would hide them

    def is_there(name: str) -> bool:
        try:
            patiently(str(uri), lambda: filesystem.info(f"{folder}/data/{name}"))
        except AbsentError:
            return False
        return True

    return is_there

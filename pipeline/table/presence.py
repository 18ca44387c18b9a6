"""Looks for files of a table by their names. Costs a request each on an object store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.storage.filesystems import locate
from pipeline.storage.retries import AbsentError, patiently
from pipeline.table.uri import TableUri

REQUESTS_AT_ONCE = 16


def missing(uri: TableUri, paths: Sequence[str]) -> list[str]:
    """Those of the files that are not there. `paths`: below the table's folder.

    Raises:
        StorageError: the store still failed after retries.
    """
    if not paths:
        return []
    is_there = _in_folder(uri) if "://" not in uri.database else _on_store(uri)
    with ThreadPoolExecutor(min(REQUESTS_AT_ONCE, len(paths)), thread_name_prefix="look") as pool:
        return [path for path, found in zip(paths, pool.map(is_there, paths), strict=True) if not found]


def _in_folder(uri: TableUri) -> Callable[[str], bool]:
    return lambda path: Path(uri.dataset, path).exists()


def _on_store(uri: TableUri) -> Callable[[str], bool]:
    filesystem, folder = locate(uri.dataset, "table")
    filesystem.invalidate_cache()  # a listing from before the files were written would hide them

    def is_there(path: str) -> bool:
        try:
            patiently(str(uri), lambda: filesystem.info(f"{folder}/{path}"))
        except AbsentError:
            return False
        return True

    return is_there

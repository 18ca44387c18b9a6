"""The tags of a table: each names a version and keeps it, with its files, from being cleaned up."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.errors import TableError
from pipeline.table.object_store import store_failures
from pipeline.table.store import MADE_BY, SHARED, Table, open_table
from pipeline.table.uri import TableUri


@dataclass(frozen=True)
class Tag:
    name: str
    version: int
    created: datetime | None
    """when the tag was created; None if Lance did not record it"""
    rows: int
    """of the version, rejected and removed ones included"""
    made_by: Sequence[Mapping[str, str]]
    """the commands that made or used the tag: `command`, `output`, `host`, `time`; empty if not recorded"""
    is_shared: bool
    """whether more than one run uses it"""
    bytes_alone: int
    """size of the data files that neither the newest version nor another tag needs"""

    @property
    def maker(self) -> str:
        """What made it, for display."""
        made = [f"{record['command']} to {record['output']} on {record['host']}" for record in self.made_by]
        return ", ".join(made) or ("filter" if self.name == f"filter-{self.version}" else "not recorded")


def list_tags(table: Table) -> list[Tag]:
    """The tags, oldest version first.

    Raises:
        TableError: a tagged version cannot be read.
    """
    with store_failures(table.uri):
        found: dict[str, dict[str, Any]] = table.lance.tags.list()
        versions = {named["version"]: table.lance.checkout_version(name) for name, named in found.items()}
        files = {name: _data_files(versions[named["version"]]) for name, named in found.items()}
        newest = _data_files(open_table(table.uri).lance)
        tags = []
        for name, named in found.items():
            needed = set(newest).union(*(files[other] for other in files if other != name))
            tags.append(
                Tag(
                    name,
                    named["version"],
                    named["created_at"],
                    versions[named["version"]].count_rows(),
                    json.loads(named["metadata"].get(MADE_BY, "[]")),
                    SHARED in named["metadata"],
                    sum(size for path, size in files[name].items() if path not in needed),
                )
            )
    return sorted(tags, key=lambda tag: (tag.version, tag.name))


def delete_tags(uri: TableUri, names: Sequence[str]) -> None:
    """Deletes tags. The files that only they kept go with a later clean-up of old versions.

    Raises:
        TableError: there is no such tag, or more than one run uses it; no tag is deleted.
    """
    table = open_table(uri)
    with store_failures(uri):
        found = table.lance.tags.list()
        for name in names:
            if name not in found:
                there = f"it has {', '.join(sorted(found))}" if found else "it has none"
                raise TableError(f"table {uri}: no tag {name!r}; {there}")
            if SHARED in found[name]["metadata"]:
                raise TableError(
                    f"table {uri}: more than one filter uses the tag {name!r}, so it is not deleted: `siglane why` and "
                    "--threshold-from of their outputs may need its version; if none of them does, delete it with Lance"
                )
        for name in dict.fromkeys(names):
            table.lance.tags.delete(name)


def _data_files(dataset: Any) -> dict[str, int]:
    """Size of each data file of a version, by its path."""
    metadata = [fragment.metadata for fragment in dataset.get_fragments()]
    return {file.path: file.file_size_bytes or 0 for fragment in metadata for file in fragment.files}

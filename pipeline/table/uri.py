"""A table's address: `<database>/<name>` or `<database>/<name>.lance`, with `@TAG` or `@VERSION` for a fixed state."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class TableUri:
    database: str
    name: str
    state: str | int | None = None
    """a tag, a version number, or None for the newest"""

    @property
    def dataset(self) -> str:
        """Where the Lance dataset lies: plain `lancedb.connect(database).open_table(name)` finds it there."""
        return f"{self.database.rstrip('/')}/{self.name}.lance"

    def __str__(self) -> str:
        return f"{self.database}/{self.name}" + (f"@{self.state}" if self.state is not None else "")


def parse_writable(text: str) -> TableUri:
    """As `parse`, for a table that is to be changed.

    Raises:
        UsageError: the address is wrong, or names a fixed state.
    """
    uri = parse(text)
    if uri.state is not None:
        raise UsageError(f"table {uri}: a fixed state cannot be written to; leave out @{uri.state}")
    return uri


def parse(text: str) -> TableUri:
    """Reads a table's address; a local one becomes absolute, so that every process means the same folder.

    Raises:
        UsageError: no database folder, or a name LanceDB would not open.
    """
    address, state = text.rstrip("/"), None
    folder, _, last = address.rpartition("/")
    if "@" in last:
        last, _, tag = last.partition("@")
        state = int(tag) if tag.isdigit() else tag
    name = last.removesuffix(".lance")
    if "://" in address and not folder.partition("://")[2]:
        name = ""  # a bucket holds databases, it is none
    if not _NAME.fullmatch(name) or state == "":
        raise UsageError(
            f"table {text!r}: not a table's address; give DATABASE/NAME, e.g. out/demo/photos "
            "(letters, digits, '_', '-', '.'), with @TAG or @VERSION for a fixed state"
        )
    if "://" not in address:
        folder = Path(folder or ("/" if address.startswith("/") else ".")).expanduser().resolve().as_posix()
    return TableUri(folder, name, state)

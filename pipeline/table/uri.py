"""A table's address: `<database>/<name>` or `<database>/<name>.lance`, with `@TAG` or `@VERSION` for a fixed state."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.storage.lance_store import storage_options
from pipeline.storage.redaction import holds_credentials, redact
from pipeline.table.object_store import PROTOCOLS

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

    @property
    def storage_options(self) -> dict[str, str] | None:
        """What Lance needs to reach it, from this process's environment: credentials never travel with an address."""
        return storage_options(self.database)

    def __str__(self) -> str:
        return f"{self.database}/{self.name}" + (f"@{self.state}" if self.state is not None else "")


def parse_writable(text: str) -> TableUri:
    """As `parse`, for a table that is to be changed.

    Raises:
        UsageError: the address is wrong, names a fixed state, or lies where no table can be written.
    """
    uri = parse(text)
    protocol, mark, _ = uri.database.partition("://")
    if mark and protocol not in PROTOCOLS:
        stores = ", ".join(f"{name}://" for name in PROTOCOLS)
        raise UsageError(f"table {uri}: cannot be written there; put it on local disk or one of {stores}")
    if uri.state is not None:
        raise UsageError(f"table {uri}: a fixed state cannot be written to; leave out @{uri.state}")
    return uri


def parse(text: str) -> TableUri:
    """Reads a table's address; a local one becomes absolute, so that every process means the same folder.

    Raises:
        UsageError: no database folder, a name LanceDB would not open, or credentials within.
    """
    if holds_credentials(text):
        raise UsageError(
            f"table {redact(text)}: an address must hold no credentials; give them in the environment, "
            "e.g. AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    address, state = text.removeprefix("file://").rstrip("/"), None
    folder, _, last = address.rpartition("/")
    if "@" in last:
        last, _, tag = last.partition("@")
        state = int(tag) if tag.isdigit() else tag
    name = last.removesuffix(".lance")
    if "://" in address and not folder.partition("://")[2]:
        name = ""  # a bucket holds databases, it is none
    if not _NAME.fullmatch(name) or state == "":
        raise UsageError(
            f"table {redact(text)!r}: not a table's address; give DATABASE/NAME, e.g. out/demo/photos "
            "(letters, digits, '_', '-', '.'), with @TAG or @VERSION for a fixed state"
        )
    if "://" not in address:
        folder = Path(folder or ("/" if address.startswith("/") else ".")).expanduser().resolve().as_posix()
    return TableUri(folder, name, state)

"""A table's address: `<database>/<name>` or `<database>/<name>.lance`, with `@TAG` or `@VERSION` for one version."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
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
    """a tag, a version number, or None for the newest version"""

    @property
    def dataset(self) -> str:
        """Path of the Lance dataset. Plain `lancedb.connect(database).open_table(name)` finds it there."""
        return f"{self.database.rstrip('/')}/{self.name}.lance"

    @property
    def storage_options(self) -> dict[str, str] | None:
        """What Lance needs to reach the store, from this process's environment. An address never holds credentials."""
        return storage_options(self.database)

    def command(self, name: str, *options: str) -> str:
        """The command that would change the table so, for messages. A fixed version stays as it is, and is left out."""
        words = ["siglane", name, "--table", str(replace(self, state=None)), *options]
        return f"`{' '.join(words)}`" + ("" if self.state is None else f" (and leave out @{self.state})")

    def __str__(self) -> str:
        return f"{self.database}/{self.name}" + (f"@{self.state}" if self.state is not None else "")


def parse_writable(text: str) -> TableUri:
    """As `parse`, for a table to be changed.

    Raises:
        UsageError: the address is wrong, names a fixed version, or is at a place where no table can be written.
    """
    uri = parse(text)
    protocol, mark, _ = uri.database.partition("://")
    if mark and protocol not in PROTOCOLS:
        stores = ", ".join(f"{name}://" for name in PROTOCOLS)
        raise UsageError(f"table {uri}: no table can be written there; use local disk or one of {stores}")
    if uri.state is not None:
        raise UsageError(f"table {uri}: a fixed version cannot be changed; leave out @{uri.state}")
    return uri


def parse(text: str) -> TableUri:
    """Reads a table's address. A local path becomes absolute, so that every process uses the same folder.

    Raises:
        UsageError: no database folder, a name that LanceDB cannot open, or credentials in the address.
    """
    if holds_credentials(text):
        raise UsageError(
            f"table {redact(text)}: an address must not contain credentials; set them in the environment, "
            "e.g. AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    address, state = text.removeprefix("file://").rstrip("/"), None
    folder, _, last = address.rpartition("/")
    if "@" in last:
        last, _, tag = last.partition("@")
        state = int(tag) if tag.isdigit() else tag
    name = last.removesuffix(".lance")
    if "://" in address and not folder.partition("://")[2]:
        name = ""  # a bucket contains databases; it is not a database itself
    if not _NAME.fullmatch(name) or state == "":
        raise UsageError(
            f"table {redact(text)!r}: not a table's address; give DATABASE/NAME, e.g. out/demo/photos "
            "(letters, digits, '_', '-', '.'), with @TAG or @VERSION for one version"
        )
    if "://" not in address:
        folder = Path(folder or ("/" if address.startswith("/") else ".")).expanduser().resolve().as_posix()
    return TableUri(folder, name, state)

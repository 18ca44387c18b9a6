"""The code that a submitted job runs: a zip of Python packages, which Ray unpacks on every node."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

OLDEST = (1980, 1, 1, 0, 0, 0)
"""the time of every file in the zip: the same files give the same zip, which Ray then uploads only once"""


def write(target: Path, packages: Iterable[Path], others: Mapping[str, bytes]) -> None:
    """Writes the zip.

    Args:
        target: the file, ending in `.zip`.
        packages: folders of Python packages; caches of Python are left out.
        others: further files, by name.
    """
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for package in packages:
            for path in sorted(_files(package)):
                _add(archive, path.relative_to(package.parent).as_posix(), path.read_bytes())
        for name, content in others.items():
            _add(archive, name, content)


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, OLDEST)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, content)


def _files(package: Path) -> Iterator[Path]:
    return (path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)

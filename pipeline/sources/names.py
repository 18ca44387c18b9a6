"""Other spellings of a file's name, for names that no file has as they stand.

A letter with an accent can be one character (NFC, which most systems write) or a letter and a combining mark (NFD,
which macOS writes). Both look alike, and file systems and tars tell them apart. Lists of names have stray white space,
and backslashes if they were written on Windows.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from unicodedata import normalize


def composed(name: str) -> str:
    """The one form (NFC) of all names that look alike."""
    return name if name.isascii() else normalize("NFC", name)


def spellings(path: str) -> Iterable[str]:
    """The ways to read a path in a list, the likeliest first, each once."""
    bare = path.strip()
    written = dict.fromkeys([path, bare, bare.replace("\\", "/")])
    yield from written
    if not bare.isascii():
        folder, slash, name = bare.replace("\\", "/").rpartition("/")
        forms = product(*([part, *(normalize(form, part) for form in ("NFC", "NFD"))] for part in (folder, name)))
        yield from dict.fromkeys(f"{a}{slash}{b}" for a, b in forms if f"{a}{slash}{b}" not in written)

"""Where the images lie that a list names: in which folder of the input, or outside of it."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pipeline import storage
from pipeline.errors import InputError
from pipeline.sample import IMAGE_SUFFIXES, Source
from pipeline.sources import fetch, inline, names
from pipeline.storage import Listing

NAMES_LOOKED_AT = 100
LOCAL = "file://"
_WORD = re.compile(r"[^\W_]+")


def folder_of(listing: Listing, source: Source, paths: Iterable[str]) -> str | None:
    """The URI of the folder below which the input has the images of a list; None if none of them was found.

    It is the folder of the list itself if one of the paths leads to an image from there. Otherwise it is the folder
    whose name is part of the list's name, or else below which most of them are: of several, the nearest to the list. If
    the input is the list alone, the folder of the list is looked through.

    Args:
        listing: the input.
        source: the list.
        paths: the first paths in it. Absolute ones are passed over.

    Raises:
        InputError: there are several such folders.
    """
    relative = list(dict.fromkeys(names.composed(_normal(path)) for path in paths if not _is_absolute(path)))
    if not relative:
        return None
    listed = _images(listing)
    if not listed and source.uri.startswith(LOCAL):
        folder = Path(source.uri.removeprefix(LOCAL)).parent
        if any(_exists(folder / path) for path in relative[:NAMES_LOOKED_AT]):
            return source.uri.rpartition("/")[0]
        above = f"{source.path.rpartition('/')[0]}/".lstrip("/")
        listed = {f"{above}{path}": uri for path, uri in _images(storage.list_files(str(folder))).items()}
    own = source.path.rpartition("/")[0]
    for path in relative[:NAMES_LOOKED_AT]:
        if posixpath.normpath(posixpath.join(own, path)) in listed:
            return source.uri.rpartition("/")[0]
    return _best(_folders(listed, relative[:NAMES_LOOKED_AT]), source)


def outside(source: Source, uris: Iterable[str | None], allowed: Sequence[str]) -> str | None:
    """The options that allow a list's images, if the first ones are all on other stores and may not be fetched."""
    prefixes: dict[str, None] = {}
    for uri in uris:
        if uri is None:
            continue
        if not fetch.is_uri(uri.strip()):
            return None
        try:
            fetch.resolve(uri.strip(), source, allowed)
        except ValueError:
            scheme, _, rest = uri.strip().partition("://")
            prefixes.setdefault(f"{scheme}://{rest.partition('/')[0].rpartition('@')[2]}/")
        else:
            return None
    schemes = dict.fromkeys(prefix.partition("//")[0] + "//" for prefix in sorted(prefixes))
    return " ".join(f"--allow-uri {prefix}" for prefix in (prefixes if len(prefixes) == 1 else schemes)) or None


def _is_absolute(path: str) -> bool:
    return path.strip().startswith("/") or fetch.is_uri(path.strip()) or inline.is_image(path)


def _normal(path: str) -> str:
    return posixpath.normpath(path.strip().replace("\\", "/"))


def _images(listing: Listing) -> dict[str, str]:
    """The URIs of the images of a listing, by path."""
    found = (file for file in listing.files if file.path.lower().endswith(IMAGE_SUFFIXES))
    return {names.composed(file.path): file.uri for file in found}


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _folders(listed: Mapping[str, str], relative: Sequence[str]) -> dict[tuple[str, str], int]:
    """How many of the paths lie below each folder, by (its path, its URI)."""
    by_name: dict[str, list[str]] = {}
    for path in relative:
        by_name.setdefault(path.rpartition("/")[2], []).append(path)
    counts: Counter[tuple[str, str]] = Counter()
    for file, uri in listed.items():
        for path in by_name.get(file.rpartition("/")[2], ()):
            if file == path or file.endswith(f"/{path}"):
                above = uri
                for _ in range(path.count("/") + 1):
                    above = above.rpartition("/")[0]
                counts[file[: len(file) - len(path)].rstrip("/"), above] += 1
    return counts


def _is_part(folder: str, name: str) -> bool:
    """Whether the words of a folder's name are in a list's name, as `train` in `train.csv`, but not in `strain.csv`."""
    words, of = (f" {' '.join(_WORD.findall(text.lower()))} " for text in (folder, name))
    return len(words) > 2 and words in of


def _best(counts: Mapping[tuple[str, str], int], source: Source) -> str | None:
    if not counts:
        return None
    own, _, name = source.path.rpartition("/")
    # `captions_train2017.json` is about `train2017/`, even if `val2017/` has more images of these names
    left = [folder for folder in counts if _is_part(folder[0].rpartition("/")[2], name)] or list(counts)
    left = [folder for folder in left if counts[folder] == max(counts[of] for of in left)]
    steps = {folder: posixpath.relpath(folder[0] or ".", own or ".").count("/") for folder in left}
    left = [folder for folder in left if steps[folder] == min(steps.values())]
    if len(left) > 1:
        folders = " and in ".join(sorted(path or "." for path, _ in left))
        raise InputError(f"{source.path}: its images are in {folders}; give the list and one folder, each as --input")
    return left[0][1]

"""Fetches images that an input names by URI, several at once, and only from the input's root or an allowed prefix.

A path without a scheme is relative to the folder of the file that names it, or to the folder where the plan found the
images. A URI is checked twice: as the store reads
it, and with every `%2e` decoded, as a web server might read it. So no `..` leads outside. Links on local disk are
followed, as in a folder.
"""

from __future__ import annotations

import posixpath
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipeline import storage
from pipeline.sample import MAX_IMAGE_BYTES, Reject, Sample, Source, too_large
from pipeline.sources import inline, names, records

AT_ONCE = 16
"""the maximum number of requests at once, and of images waiting in memory"""
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_LOCAL = ("file", "local")


class ForbiddenUriError(ValueError):
    """The URI is outside the input and the allowed prefixes."""


def fetched(
    samples: Iterable[tuple[Sample, str | None]], allowed: Sequence[str], folder: str | None = None
) -> Iterator[Sample]:
    """The samples in their order, each with the image of its URI, or with a reject.

    `folder`: the URI of the folder of relative paths, if it is not that of the file that names them.

    Raises:
        StorageError: a store failed. A missing object rejects its sample instead.
    """
    waiting: deque[Future[Sample]] = deque()
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="fetch")
    try:
        for sample, uri in samples:
            if uri is None and not waiting:  # most inputs with images of their own name none elsewhere
                yield sample
                continue
            waiting.append(pool.submit(_with_image, sample, uri, allowed, folder))
            if len(waiting) >= AT_ONCE:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def is_uri(text: str) -> bool:
    """Whether a text has a scheme."""
    return bool(_SCHEME.match(text))


def resolve(text: str, source: Source, allowed: Sequence[str], folder: str | None = None) -> str:
    """The full URI for a URI or path in a source's data.

    Raises:
        ForbiddenUriError: it is outside the input's files and the allowed prefixes.
    """
    root = source.uri.removesuffix(f"/{source.path}")
    uri = text if is_uri(text) else _joined(folder or source.uri.rpartition("/")[0], text)
    if "\\" in uri or any(ord(character) <= 0x20 for character in uri if character != " "):
        raise ForbiddenUriError("the URI has a backslash or a control character")
    place = _place(uri)
    within = (root, *allowed) if folder is None else (root, folder, *allowed)
    prefixes = [_place(prefix if is_uri(prefix) else _local(prefix)) for prefix in within]
    for form in (place, _decoded(place)):
        if not any(_is_below(form, prefix) for prefix in prefixes):
            raise ForbiddenUriError("the URI is outside the input; allow its prefix with --allow-uri")
    scheme, host, path = place
    return f"file://{path}" if scheme in _LOCAL else f"{scheme}://{host}{path}{_query(uri)}"


def shown(uri: str) -> str:
    """A URI for messages, without user name, query and fragment, as these can contain a password or a signature."""
    if inline.is_image(uri):
        return f"{records.shown(uri, 40)} ({len(uri)} characters)"
    return records.shown(_without_secrets(uri))


def _without_secrets(uri: str) -> str:
    scheme, _, rest = uri.partition("://") if "://" in uri else ("", "", uri)
    host, slash, path = rest.partition("/")
    bare = f"{host.rpartition('@')[2]}{slash}{path.partition('?')[0].partition('#')[0]}"
    return f"{scheme}://{bare}" if scheme else bare


@dataclass(frozen=True)
class _Place:
    """A URI's scheme, host and path, each normalised."""

    scheme: str
    host: str
    path: str

    def __iter__(self) -> Iterator[str]:
        return iter((self.scheme, self.host, self.path))


def _with_image(sample: Sample, text: str | None, allowed: Sequence[str], folder: str | None) -> Sample:
    if text is None or sample.reject is not None:
        return sample
    name = f"{sample.source.path} row {sample.row}: {shown(text)}"
    if inline.is_image(text):
        return _with_inline_image(sample, text, name)
    problem: Reject | None = None
    # A URI is read without the white space around it. A path can be a name that begins or ends with a blank.
    for spelling in [text.strip()] if is_uri(text.strip()) else names.spellings(text):
        try:
            uri = resolve(spelling, sample.source, allowed, folder)
            data = storage.read_bytes(uri, MAX_IMAGE_BYTES)
        except storage.AbsentError:
            problem = Reject("read", "no-image", f"{name}: no such file")
        except storage.TooLargeError as error:
            return replace(sample, reject=too_large(name, error.size))
        except ValueError as error:  # urlsplit raises ValueError too, for an unmatched bracket
            problem = Reject("read", "forbidden-uri", f"{name}: {error}")
        else:
            return replace(
                sample, image=data, member=sample.member or posixpath.basename(_without_secrets(uri)) or None
            )
    return replace(sample, reject=problem)


def _with_inline_image(sample: Sample, text: str, name: str) -> Sample:
    try:
        return replace(sample, image=inline.decoded(text))
    except inline.TooLongError as error:
        return replace(sample, reject=too_large(name, error.size))
    except ValueError as error:
        return replace(sample, reject=Reject("read", "bad-uri", f"{name}: {error}"))


def _joined(folder: str, path: str) -> str:
    return f"file://{path}" if path.startswith("/") else f"{folder}/{path}"


def _local(path: str) -> str:
    return f"file://{Path(path).expanduser().absolute().as_posix()}"


def _place(uri: str) -> _Place:
    scheme = uri.partition("://")[0].lower()
    if scheme not in ("http", "https"):  # in other schemes `?`, `#` and `%` are ordinary characters of a name
        host, slash, path = uri.partition("://")[2].partition("/")
        if scheme in _LOCAL:
            return _Place("file", "", posixpath.normpath(f"/{host}{slash}{path}".replace("//", "/")))
        return _Place(scheme, host, posixpath.normpath(f"/{path}"))
    parts = urlsplit(uri)
    if "@" in parts.netloc:
        raise ForbiddenUriError("the URI contains a user name")
    return _Place(scheme, parts.netloc.lower(), posixpath.normpath(f"/{parts.path.lstrip('/')}"))


def _decoded(place: _Place) -> _Place:
    path = place.path
    while (once := unquote(path)) != path:
        path = once
    return replace(place, path=posixpath.normpath(path.replace("\\", "/")))


def _is_below(place: _Place, prefix: _Place) -> bool:
    if place.scheme != prefix.scheme:
        return False
    if prefix.host != place.host:
        return prefix.host == "" and place.scheme != "file"  # `https://` allows every host
    return place.path == prefix.path or place.path.startswith(prefix.path.rstrip("/") + "/")


def _query(uri: str) -> str:
    query = urlsplit(uri).query if uri.lower().startswith(("http://", "https://")) else ""
    return f"?{query}" if query else ""

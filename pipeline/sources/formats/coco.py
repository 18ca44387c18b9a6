"""Captions in one JSON document, as COCO's `captions_train2017.json`: `images` with names, `annotations` with captions.

Each caption of an image is a sample, in the order of `images` and then of `annotations`: `source_row` is its number.
An image without a caption is one sample, and so is a caption without an image; both are rejected as in other formats.
`pipeline.sources.image_files` finds the folder with the images, such as `train2017/` beside `annotations/`. The other
documents of COCO, such as `instances_train2017.json`, have no captions and are not read.

A document is read whole by each part, which takes its share of the images. In memory it takes about the size of its
captions and of the names of its images. Documents above MAX_BYTES are refused.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.errors import InputError
from pipeline.fileformats.json_members import BrokenJsonError, Members
from pipeline.sample import Chunk, Reject, Sample, Source, Taken
from pipeline.sources import SourceOptions, captions, fetch, image_files, lists, records
from pipeline.storage import File, Listing

CONTENT: frozenset[str] = frozenset()
"""a document is recognised by its name and its beginning"""
TELLS_ROWS_AT_ONCE = False
IMAGES, ANNOTATIONS, ID, IMAGE_ID = "images", "annotations", "id", "image_id"
FILE_NAME, CAPTION = "file_name", "caption"
MAX_BYTES = 2 << 30
BYTES_PER_PART = 16 << 20
MOST_PARTS = 16
"""each of them reads the whole document"""


def claims(listing: Listing) -> Sequence[File]:
    return records.documents(listing)


def plan(listing: Listing, options: SourceOptions) -> Sequence[Chunk]:
    sources = [Source(f.path, f.uri, f.version, f.size) for f in claims(listing) or listing.files]
    for source in sources:
        if source.size > MAX_BYTES:
            raise InputError(
                f"{source.path}: {source.size} bytes is above the limit of {MAX_BYTES}; split the document"
            )
    field = options.url_col or FILE_NAME
    taken = Taken(f"the files in field {field!r}", f"field {_caption(options)!r}" if options.captions else None)
    chunks: list[Chunk] = []
    for source in sources:
        names = _first_names(source, field, is_first=source is sources[0])
        folder = image_files.folder_of(listing, source, names)
        outside = image_files.outside(source, names, options.allow_uri)
        if names and folder is None and outside is None and source.uri.startswith(image_files.LOCAL):
            raise InputError(
                f"{source.path}: none of its first images is in the input, e.g. {names[0]}; give the folder that holds "
                "both as --input"
            )
        parts = min(max(1, math.ceil(source.size / BYTES_PER_PART)), MOST_PARTS)
        chunks += [
            Chunk((source,), part, parts, taken=taken, image_folder=folder, outside=outside) for part in range(parts)
        ]
    return chunks


def kept_columns(chunks: Sequence[Chunk], options: SourceOptions) -> pa.Schema:
    if options.keep_cols:
        raise InputError(f"keep_cols {','.join(options.keep_cols)}: COCO's documents have no columns; leave it out")
    return chunks[0].kept


def read(chunk: Chunk, options: SourceOptions) -> Iterator[Sample]:
    (source,) = chunk.sources
    try:
        document = _Document(source, options)
    except BrokenJsonError as error:
        if chunk.part == 0 and not chunk.is_done(source.path, 0):
            reject = Reject("read", "bad-record", f"{source.path}: {error}; fix or remove the file")
            yield Sample(source, 0, 1, source.path, None, None, reject=reject)
        return
    pairs = document.samples(chunk)
    if chunk.with_images:
        yield from fetch.fetched(pairs, options.allow_uri, chunk.image_folder)
    else:
        yield from (sample for sample, _ in pairs)


def _caption(options: SourceOptions) -> str:
    return options.caption_col or CAPTION


def _members(source: Source) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name of the array, element) of a document, for the elements that are objects."""
    with lists.opened(source) as opened:
        for name, element in Members(opened.text(), captions.MAX_RECORD_BYTES):
            if name in (IMAGES, ANNOTATIONS) and isinstance(element, dict):
                yield name, element


def _first_names(source: Source, field: str, is_first: bool) -> list[str]:
    """The names of the first images; of a document that breaks off, those before the break.

    Raises:
        InputError: there are none in the first document. (A later one is rejected when it is read.)
    """
    images = (element for name, element in _members(source) if name == IMAGES)
    names: list[str] = []
    problem = f"its images have no field {field!r}; name one with --url-col"
    try:
        for image in islice(images, image_files.NAMES_LOOKED_AT):
            names += [image[field]] if isinstance(image.get(field), str) else []
    except BrokenJsonError as error:
        problem = f"not readable as JSON: {error}; fix or remove the file"
    if is_first and not names:
        raise InputError(f"{source.path}: {problem}")
    return names


class _Document:
    """The images and captions of a document, in compact form."""

    def __init__(self, source: Source, options: SourceOptions) -> None:
        self._source = source
        self._numbers: dict[Any, int] = {}
        """the images by id, in the order in which they appear first"""
        self._names: list[str | None] = []
        """of each image, in that order"""
        self._texts = bytearray()
        self._ends = array("q")
        """where each caption ends in `_texts`"""
        self._rejects: dict[int, Reject] = {}
        """of captions that are not texts"""
        self._ambiguous: dict[int, str] = {}
        """the files of images whose id another image has too, as in documents that were joined"""
        owners = array("q")
        for name, element in _members(source):
            if name == IMAGES:
                found = element.get(options.url_col or FILE_NAME)
                self._name(self._number(element.get(ID)), found if isinstance(found, str) else None)
            elif options.captions:
                owners.append(self._number(element.get(IMAGE_ID)))
                self._add(element.get(_caption(options)))
        self._owners = np.array(owners, np.int64)
        self._order = np.argsort(self._owners, kind="stable")
        counts = np.bincount(self._owners, minlength=len(self._names))
        self._first_caption = np.concatenate([[0], np.cumsum(counts)])
        self._first_row = np.concatenate([[0], np.cumsum(np.maximum(counts, 1))])

    def samples(self, chunk: Chunk) -> Iterator[tuple[Sample, str | None]]:
        """(sample, the path of its image) of the rows of a part that are not done yet."""
        start, stop = (len(self._names) * edge // chunk.parts for edge in (chunk.part, chunk.part + 1))
        for image in range(start, stop):
            row, end = int(self._first_row[image]), int(self._first_row[image + 1])
            if not chunk.is_done(self._source.path, row, end):
                for index in range(end - row):
                    if not chunk.is_done(self._source.path, row + index):
                        yield self._sample(image, row + index, index), self._names[image]

    def _number(self, id_: Any) -> int:
        key = id_ if isinstance(id_, int | str) else repr(id_)
        number = self._numbers.setdefault(key, len(self._names))
        if number == len(self._names):
            self._names.append(None)
        return number

    def _name(self, image: int, name: str | None) -> None:
        if self._names[image] is not None and name != self._names[image]:
            self._ambiguous[image] = f"{self._names[image]} and {name}"
        self._names[image] = name

    def _add(self, value: Any) -> None:
        text, reject = captions.checked(value, f"{self._source.path} annotation {len(self._ends)}")
        if reject is not None:
            self._rejects[len(self._ends)] = reject
        self._texts += (text or "").encode()
        self._ends.append(len(self._texts))

    def _sample(self, image: int, row: int, index: int) -> Sample:
        place = int(self._first_caption[image]) + index
        text, reject = None, None
        if place < int(self._first_caption[image + 1]):
            number = int(self._order[place])
            reject = self._rejects.get(number)
            text = self._texts[self._ends[number - 1] if number else 0 : self._ends[number]].decode()
        if image in self._ambiguous:
            message = (
                f"{self._source.path}: {self._ambiguous[image]} have the same id, so their captions cannot be told"
            )
            reject = Reject("read", "duplicate-key", f"{message} apart; give each document of its own as --input")
        path = self._names[image]
        key = str(image) if path is None else PurePosixPath(path).stem
        return Sample(
            self._source,
            row,
            int(self._first_row[-1]),
            key=f"{key}#{index}" if index else key,
            key_may_repeat=True,
            image=None,
            caption=None if reject else text,
            reject=reject,
        )

"""A folder of images, captions beside them: `dog.jpg` with `dog.txt` or `dog.json`.

A `.txt` is one caption; a `.json` holds one in its field `caption` (`--caption-col` names another), or a list of them:
each is a sample of its own. Beside a `.txt` a `.json` is not read: the `files` layout of img2dataset has both, the
caption in the one and the record of the download in the other. Every file that is no sidecar is a sample, so that a
broken one is accounted for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import pyarrow as pa

from pipeline import captions, content, storage
from pipeline.captions import Caption
from pipeline.errors import InputError
from pipeline.sample import IMAGE_SUFFIXES, Chunk, Sample, Source
from pipeline.sources import SourceOptions
from pipeline.storage import File, Listing

SIDECAR_SUFFIXES = (".txt", ".json")
"""the one whose captions are taken first"""
FILES_PER_CHUNK = 256

CONTENT = content.IMAGES


def claims(listing: Listing) -> Sequence[File]:
    return [file for file in listing.files if file.path.lower().endswith(IMAGE_SUFFIXES)]


def plan(listing: Listing, options: SourceOptions) -> Sequence[Chunk]:
    sidecars: dict[str, list[File]] = {}
    images: list[File] = []
    for file in listing.files:
        if file.path.endswith(SIDECAR_SUFFIXES):
            sidecars.setdefault(_stem(file), []).append(file)
        else:
            images.append(file)
    if not images:
        raise InputError(f"input {options.input}: only captions there and no image; check --input")
    sources = [_source(image, sidecars.get(_stem(image), [])) for image in images]
    captioned = any(source.sidecars for source in sources)
    starts = range(0, len(sources), FILES_PER_CHUNK)
    return [Chunk(tuple(sources[start : start + FILES_PER_CHUNK]), captioned=captioned) for start in starts]


def kept_columns(_chunks: Sequence[Chunk], options: SourceOptions) -> pa.Schema:
    if options.keep_cols:
        raise InputError(f"keep_cols {','.join(options.keep_cols)}: a folder has no columns to keep; leave it out")
    return pa.schema([])


def read(chunk: Chunk, options: SourceOptions) -> Iterator[Sample]:
    for source in chunk.sources:
        found = _captions(source, options.caption_col or "caption")
        if not chunk.is_done(source.path, 0, len(found)):
            yield from _samples(source, found, chunk)


def _samples(source: Source, found: Sequence[Caption], chunk: Chunk) -> Iterator[Sample]:
    image = storage.read_bytes(source.uri)
    path = PurePosixPath(source.path)
    for row, (caption, reject) in enumerate(found):
        if not chunk.is_done(source.path, row):
            yield Sample(
                source,
                row,
                len(found),
                key=path.stem if row == 0 else f"{path.stem}#{row}",
                image=image,
                caption=caption,
                member=path.name,
                reject=reject,
            )


def _stem(file: File) -> str:
    return file.path[: -len(suffix)] if (suffix := PurePosixPath(file.path).suffix) else file.path


def _source(image: File, beside: Sequence[File]) -> Source:
    read = [[file for file in beside if file.path.endswith(suffix)] for suffix in SIDECAR_SUFFIXES]
    sidecars = next((files for files in read if files), [])
    # An edited caption makes another version of its sample, as an edited image does.
    version = "+".join([image.version, *(sidecar.version for sidecar in sidecars)])
    return Source(image.path, image.uri, version, image.size, tuple(sidecar.uri for sidecar in sidecars))


def _captions(source: Source, field: str) -> list[Caption]:
    """The captions of one image, at least one entry; None where there is none."""
    found: list[Caption] = []
    for uri in source.sidecars:
        name = PurePosixPath(uri).name
        data = storage.read_bytes(uri)
        found += captions.from_json(data, name, field) if uri.endswith(".json") else [captions.from_text(data, name)]
    return found or [(None, None)]

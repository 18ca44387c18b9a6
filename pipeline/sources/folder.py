"""A folder of images, captions beside them: `dog.jpg` with `dog.txt` or `dog.json`.

A `.txt` is one caption; a `.json` holds one in its field `caption` (`--caption-col` names another), or a list of them:
each is a sample of its own. Every file that is no sidecar is a sample, so that a broken one is accounted for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import pyarrow as pa

from pipeline import storage
from pipeline.errors import InputError
from pipeline.sample import Chunk, Reject, Sample, Source
from pipeline.sources import SourceOptions
from pipeline.storage import File, Listing

IMAGE_SUFFIXES = frozenset([".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".jp2"])
SIDECAR_SUFFIXES = (".txt", ".json")
FILES_PER_CHUNK = 256


def claims(file: File) -> bool:
    return PurePosixPath(file.path).suffix.lower() in IMAGE_SUFFIXES


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
        image = storage.read_bytes(source.uri)
        captions = _captions(source, options.caption_col or "caption")
        stem = PurePosixPath(source.path).stem
        for row, (caption, reject) in enumerate(captions):
            if not chunk.is_done(source.path, row):
                yield Sample(
                    source,
                    row,
                    len(captions),
                    key=stem if row == 0 else f"{stem}#{row}",
                    image=image,
                    caption=caption,
                    member=PurePosixPath(source.path).name,
                    reject=reject,
                )


def _stem(file: File) -> str:
    return file.path[: -len(suffix)] if (suffix := PurePosixPath(file.path).suffix) else file.path


def _source(image: File, sidecars: Sequence[File]) -> Source:
    # An edited caption makes another version of its sample, as an edited image does.
    version = "+".join([image.version, *(sidecar.version for sidecar in sidecars)])
    return Source(image.path, image.uri, version, image.size, tuple(sidecar.uri for sidecar in sidecars))


def _captions(source: Source, field: str) -> list[tuple[str | None, Reject | None]]:
    """The captions of one image, at least one entry; None where there is none."""
    captions: list[tuple[str | None, Reject | None]] = []
    for uri in source.sidecars:
        name = PurePosixPath(uri).name
        try:
            text = storage.read_bytes(uri).decode("utf-8-sig")
            found = _json_captions(json.loads(text), field) if uri.endswith(".json") else [text.strip()]
        except (UnicodeDecodeError, json.JSONDecodeError, TypeError) as error:
            captions.append((None, Reject("read", "bad-caption", f"{name}: {error}")))
        else:
            captions.extend((caption, None) for caption in found)
    return captions or [(None, None)]


def _json_captions(record: object, field: str) -> list[str | None]:
    value = record.get(field) if isinstance(record, dict) else None
    captions: list[str | None] = value if isinstance(value, list) else [value]
    if not all(caption is None or isinstance(caption, str) for caption in captions):
        raise TypeError(f"its {field!r} is neither a text nor a list of texts")
    return captions or [None]

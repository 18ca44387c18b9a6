"""A folder of images with captions beside them: `dog.jpg` with `dog.txt`, `dog.caption` or `dog.json`.

A `.txt` or `.caption` is one caption. A `.json` has one caption or a list of captions in its field `caption`
(`--caption-col` names another field); each caption is a separate sample. If there is a `.txt`, the others are not read
for captions. Every file that is not a sidecar is a sample, so that a broken image becomes a rejected row. Suffixes may
be in capitals. If no sidecar has exactly an image's name, one whose name differs in the form of its accents is taken.

img2dataset's `files` layout (`00000/`, `00000.parquet`, `00000_stats.json`) has both: the caption in the `.txt`, and
the record of the download in the `.json`. The record's uid, sizes and kept fields are read there. The failed downloads
in the `.parquet` are rejected rows, with the `.parquet` as their source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from pipeline import storage
from pipeline.errors import InputError
from pipeline.fileformats import sniff
from pipeline.sample import IMAGE_SUFFIXES, MAX_IMAGE_BYTES, Chunk, Sample, Source, too_large
from pipeline.sources import SourceOptions, captions, img2dataset, names, records
from pipeline.sources.captions import Caption
from pipeline.storage import File, Listing

SIDECAR_SUFFIXES = (".txt", ".caption", ".json")
"""in order of preference for captions"""
FILES_PER_CHUNK = 256

CONTENT = sniff.IMAGES


def claims(listing: Listing) -> Sequence[File]:
    if records.metadata_files(listing):
        return []
    return [file for file in listing.files if file.path.lower().endswith(IMAGE_SUFFIXES)]


def plan(listing: Listing, options: SourceOptions) -> Sequence[Chunk]:
    logs = img2dataset.logs(listing)
    log_paths = {log.path for log in logs.values()}
    sidecars: dict[str, list[File]] = {}
    images: list[File] = []
    for file in listing.files:
        if file.path.lower().endswith(SIDECAR_SUFFIXES):
            sidecars.setdefault(_stem(file), []).append(file)
        elif file.path not in log_paths:
            images.append(file)
    if not images:
        raise InputError(f"input {listing.uri}: has captions but no images; check --input")
    _respell(sidecars, {_stem(image) for image in images})
    sources = [_source(image, sidecars.get(_stem(image), []), bool(logs)) for image in images]
    captioned = any(source.sidecars for source in sources)
    kept = img2dataset.kept_schema(next(iter(logs.values())), options.keep_cols) if logs else pa.schema([])
    starts = range(0, len(sources), FILES_PER_CHUNK)
    parts = [tuple(sources[start : start + FILES_PER_CHUNK]) for start in starts]
    parts += [(img2dataset.with_log(Source(log.path, log.uri, log.version, log.size), log),) for log in logs.values()]
    return [Chunk(part, captioned=captioned, kept=kept) for part in parts]


def kept_columns(chunks: Sequence[Chunk], options: SourceOptions) -> pa.Schema:
    if options.keep_cols and not chunks[0].kept.names:
        raise InputError(f"keep_cols {','.join(options.keep_cols)}: a folder has no columns; leave out --keep-cols")
    return chunks[0].kept


def read(chunk: Chunk, options: SourceOptions) -> Iterator[Sample]:
    for source in chunk.sources:
        if source.uri in source.sidecars:
            yield from img2dataset.failed_samples(source, chunk)
            continue
        found = _captions(source, options.caption_col or "caption")
        if not chunk.is_done(source.path, 0, len(found)):
            yield from _samples(source, found, chunk)


def _samples(source: Source, found: Sequence[Caption], chunk: Chunk) -> Iterator[Sample]:
    path = PurePosixPath(source.path)
    unread = too_large(source.path, source.size) if source.size > MAX_IMAGE_BYTES else None
    image = storage.read_bytes(source.uri) if chunk.with_images and not unread else None
    record = _record(source) if chunk.kept.names else {}
    width, height = (records.pixels(record.get(name)) for name in records.SIZES)
    uid = record.get(records.UID)
    for row, (caption, reject) in enumerate(found):
        if not chunk.is_done(source.path, row):
            yield Sample(
                source,
                row,
                len(found),
                key=path.stem if row == 0 else f"{path.stem}#{row}",
                image=image,
                caption=caption,
                uid=uid if isinstance(uid, str) and row == 0 else None,
                member=path.name,
                width=width,
                height=height,
                kept=records.kept(record, chunk.kept),
                reject=unread or reject,
            )


def _respell(sidecars: dict[str, list[File]], stems: set[str]) -> None:
    """Puts sidecars that belong to no image's stem under one that differs only in the form of its accents."""
    without = {names.composed(stem): stem for stem in stems - sidecars.keys() if not stem.isascii()}
    for stem in [stem for stem in sidecars if without and stem not in stems]:
        if (image := without.get(names.composed(stem))) is not None:
            sidecars.setdefault(image, []).extend(sidecars.pop(stem))


def _suffix(file: File) -> str:
    return PurePosixPath(file.path).suffix


def _stem(file: File) -> str:
    return file.path.removesuffix(_suffix(file))


def _source(image: File, beside: Sequence[File], with_records: bool) -> Source:
    capitals = _suffix(image).isupper()
    alike = sorted(beside, key=lambda file: _suffix(file).isupper() != capitals)
    found = [next((file for file in alike if _suffix(file).lower() == suffix), None) for suffix in SIDECAR_SUFFIXES]
    there = [file for file in found if file is not None]
    sidecars = there if with_records else there[:1]
    # An edited caption changes the version of its source, as an edited image does.
    version = "+".join([image.version, *(sidecar.version for sidecar in sidecars)])
    return Source(image.path, image.uri, version, image.size, tuple(sidecar.uri for sidecar in sidecars), 1)


def _captions(source: Source, field: str) -> list[Caption]:
    """The captions of one image, at least one entry. An entry of None means that there is no caption."""
    found: list[Caption] = []
    names_of = {uri: PurePosixPath(storage.split_query(uri)[0]).name for uri in source.sidecars}
    texts = [uri for uri, name in names_of.items() if not _is_record(name)]
    for uri in texts[:1] or names_of:
        name = names_of[uri]
        try:
            data = storage.read_bytes(uri, captions.MAX_RECORD_BYTES)
        except storage.TooLargeError as error:
            found.append((None, captions.too_long(name, error.size)))
            continue
        found += captions.from_json(data, name, field) if _is_record(name) else [captions.from_text(data, name)]
    return found or [(None, None)]


def _is_record(name: str) -> bool:
    return name.lower().endswith(".json")


def _record(source: Source) -> Mapping[str, Any]:
    """img2dataset's record of an image, from the .json beside it."""
    for uri in source.sidecars:
        if _is_record(storage.split_query(uri)[0]):
            try:
                record = captions.parse(storage.read_bytes(uri, captions.MAX_RECORD_BYTES))
            except ValueError:  # only the record's fields are lost; a caption in it is rejected elsewhere
                return {}
            return record if isinstance(record, dict) else {}
    return {}

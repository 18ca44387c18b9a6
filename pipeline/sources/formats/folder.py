"""A folder of images with captions beside them: `dog.jpg` with `dog.txt`, `dog.caption` or `dog.json`.

`pipeline.sources.sidecars` finds the files that belong to an image. A `.txt` or `.caption` is one caption. A `.json`
has one caption or a list of captions in a field whose name is known (`--caption-col` names another field); each caption
is a separate sample. If there is a text, the `.json` is only read for captions if `--caption-col` names a field. Every
file that is not a sidecar is a sample, so that a broken image becomes a rejected row.

img2dataset's `files` layout (`00000/`, `00000.parquet`, `00000_stats.json`) has both: the caption in the `.txt`, and
the record of the download in the `.json`. The record's uid, sizes and kept fields are read there. The failed downloads
in the `.parquet` are rejected rows, with the `.parquet` as their source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from pipeline import storage
from pipeline.errors import InputError
from pipeline.fileformats import sniff
from pipeline.sample import IMAGE_SUFFIXES, MAX_IMAGE_BYTES, Chunk, Sample, Source, Taken, too_large
from pipeline.sources import SourceOptions, captions, img2dataset, records, sidecars
from pipeline.sources.captions import Caption
from pipeline.sources.sidecars import Sidecars
from pipeline.storage import File, Listing

NEVER_IMAGES = (".npz",)
"""arrays that trainers keep beside the images, such as latents"""
FILES_PER_CHUNK = 256
RECORDS_LOOKED_AT = 10
IMAGES = "the files"

CONTENT = sniff.IMAGES
TELLS_ROWS_AT_ONCE = False


def claims(listing: Listing) -> Sequence[File]:
    images = [file for file in listing.files if file.path.lower().endswith(IMAGE_SUFFIXES)]
    listed = tuple(f"{file.uri.rpartition('/')[0]}/" for file in records.metadata_files(listing))
    if not listed:
        return images
    # A list speaks for the images below its folder, but not for one that has a caption file of its own.
    texts = {sidecars.without_suffix(f.path) for f in listing.files if f.path.lower().endswith(sidecars.TEXTS)}
    return [
        image for image in images if sidecars.without_suffix(image.path) in texts or not image.uri.startswith(listed)
    ]


def plan(listing: Listing, options: SourceOptions) -> Sequence[Chunk]:
    logs = img2dataset.logs(listing)
    log_paths = {log.path for log in logs.values()}
    beside = Sidecars((file for file in listing.files if file.path not in log_paths), options.caption_col)
    images = [file for file in beside.images if not file.path.lower().endswith(NEVER_IMAGES)]
    if not images:
        raise InputError(f"input {listing.uri}: has captions but no images; check --input")
    sources = [_source(image, *beside.of(image), bool(logs)) for image in images]
    kept = img2dataset.kept_schema(next(iter(logs.values())), options.keep_cols) if logs else pa.schema([])
    starts = range(0, len(sources), FILES_PER_CHUNK)
    parts = [tuple(sources[start : start + FILES_PER_CHUNK]) for start in starts]
    parts += [(img2dataset.with_log(Source(log.path, log.uri, log.version, log.size), log),) for log in logs.values()]
    _require_records(sources, options.caption_col)
    field = options.caption_col or (_caption_field(sources) if options.captions else "caption")
    taken = _taken(sources, beside.stray(), field) if options.captions else Taken(IMAGES, None)
    return [Chunk(part, taken=taken, kept=kept, caption_field=field) for part in parts]


def _require_records(sources: Sequence[Source], caption_col: str | None) -> None:
    """Refuses the name of a field where the captions are texts, which have none.

    Raises:
        InputError: a field is named, and no image has a record.
    """
    if caption_col is None or caption_col.startswith("."):
        return
    firsts = [source.sidecars[0] for source in sources if source.sidecars]
    if firsts and not any(map(_is_record, firsts)):
        raise InputError(
            f"caption_col {caption_col}: no image has a {sidecars.RECORD} file with fields; leave it out to take "
            f"{PurePosixPath(storage.split_query(firsts[0])[0]).name} and the like"
        )


def _taken(sources: Sequence[Source], stray: Sequence[str], field: str) -> Taken:
    firsts = (storage.split_query(source.sidecars[0])[0] for source in sources if source.sidecars)
    suffixes = {PurePosixPath(path).suffix.lower() for path in firsts}
    kinds = [f"the {suffix} files" for suffix in sorted(suffixes - {sidecars.RECORD})]
    if sidecars.RECORD in suffixes:
        kinds.append(f"field {field!r} of the {sidecars.RECORD} files")
    return Taken(IMAGES, " and ".join(kinds) or None, stray=tuple(stray))


def kept_columns(chunks: Sequence[Chunk], options: SourceOptions) -> pa.Schema:
    if options.keep_cols and not chunks[0].kept.names:
        raise InputError(f"keep_cols {','.join(options.keep_cols)}: a folder has no columns; leave out --keep-cols")
    return chunks[0].kept


def read(chunk: Chunk, options: SourceOptions) -> Iterator[Sample]:
    for source in chunk.sources:
        if source.uri in source.sidecars:
            yield from img2dataset.failed_samples(source, chunk)
            continue
        found = _captions(source, chunk.caption_field) if options.captions else [(None, None)]
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


def _source(image: File, caption: File | None, record: File | None, with_records: bool) -> Source:
    """An image with the file of its caption as first sidecar, and img2dataset's record as another."""
    read = [caption, record] if with_records else [caption]
    files = [file for file in dict.fromkeys(read) if file is not None]
    # An edited caption changes the version of its source, as an edited image does.
    version = "+".join([image.version, *(file.version for file in files)])
    samples = None if files and _is_record(files[0].uri) else 1  # a record can have any number of captions
    return Source(image.path, image.uri, version, image.size, tuple(file.uri for file in files), 1, samples)


def _caption_field(sources: Sequence[Source]) -> str:
    """The field of the captions, by the first records that are read for captions.

    Raises:
        InputError: several of their fields can be the captions.
    """
    with_record = (source for source in sources if source.sidecars and _is_record(source.sidecars[0]))
    for source in islice(with_record, RECORDS_LOOKED_AT):
        field = captions.field_of(_record(source), f"the record of {source.path}")
        if field is not None:
            return field
    return "caption"


def _captions(source: Source, field: str) -> list[Caption]:
    """The captions of one image, at least one entry. An entry of None means that there is no caption."""
    if not source.sidecars:
        return [(None, None)]
    uri = source.sidecars[0]
    name = PurePosixPath(storage.split_query(uri)[0]).name
    try:
        data = storage.read_bytes(uri, captions.MAX_RECORD_BYTES)
    except storage.TooLargeError as error:
        return [(None, captions.too_long(name, error.size))]
    return captions.from_json(data, name, field) if _is_record(uri) else [captions.from_text(data, name)]


def _record(source: Source) -> Mapping[str, Any]:
    """The record of an image, from the .json beside it."""
    for uri in filter(_is_record, source.sidecars):
        try:
            record = captions.parse(storage.read_bytes(uri, captions.MAX_RECORD_BYTES))
        except ValueError:  # only the record's fields are lost; a caption in it is rejected elsewhere
            return {}
        return record if isinstance(record, dict) else {}
    return {}


def _is_record(uri: str) -> bool:
    return storage.split_query(uri)[0].lower().endswith(sidecars.RECORD)

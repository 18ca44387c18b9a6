"""Reads img2dataset's logs: `00000.parquet` beside a shard lists every download, also the failed ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.errors import InputError
from pipeline.fileformats import compression
from pipeline.sample import Chunk, Reject, Sample, Source
from pipeline.sources import captions, records
from pipeline.storage import File, Listing

ARCHIVES = (
    *(".tar", *(f".tar{suffix}" for suffix in compression.SUFFIXES)),
    *(".tgz", ".tbz", ".tbz2", ".txz", ".tzst"),
)
"""suffixes of tars, in lower case"""
STATISTICS = "_stats.json"
LOG = ".parquet"


@dataclass(frozen=True)
class Failure:
    """The row for a download that failed according to the log, or for a log that cannot be read."""

    record: Mapping[str, Any]
    kept: pa.Schema
    reject: Reject

    def sample(self, source: Source, row: int, rows: int) -> Sample:
        caption, _ = captions.checked(self.record.get("caption"), "caption")
        width, height = (records.pixels(self.record.get(name)) for name in records.SIZES)
        key = self.record.get(records.KEY)
        uid = self.record.get(records.UID)
        return Sample(
            source,
            row,
            rows,
            key=str(row if key is None else records.escaped(key)),
            key_may_repeat=True,
            image=None,
            caption=caption,
            uid=uid if isinstance(uid, str) else None,
            width=width,
            height=height,
            kept=records.kept(self.record, self.kept),
            reject=self.reject,
        )


def logs(listing: Listing) -> dict[str, File]:
    """The logs of a listing, by the name of their shard, which is a tar's path without its suffix, or a folder's."""
    stems = {file.path.removesuffix(LOG): file for file in listing.files if file.path.endswith(LOG)}
    paths = {file.path for file in listing.files}
    folders = {file.path.rpartition("/")[0] for file in listing.files}
    return {
        stem: file
        for stem, file in stems.items()
        if any(stem + suffix in paths for suffix in ARCHIVES) or (stem in folders and stem + STATISTICS in paths)
    }


def with_log(source: Source, log: File | None) -> Source:
    """The source with its log as a sidecar. The log's version becomes part of the source's version."""
    return source if log is None else replace(source, version=f"{source.version}+{log.version}", sidecars=(log.uri,))


def failures(source: Source, kept: pa.Schema) -> Sequence[Failure]:
    """The failed downloads of a source's log, in the order of the log."""
    return [failure for uri in source.sidecars for failure in _failures(source, uri, kept)]


def failed_samples(log: Source, chunk: Chunk) -> Iterator[Sample]:
    """The failed downloads of a log that is itself a source."""
    failed = failures(log, chunk.kept)
    for row, failure in enumerate(failed):
        if not chunk.is_done(log.path, row):
            yield failure.sample(log, row, len(failed))


def kept_schema(log: File, named: Sequence[str] | None) -> pa.Schema:
    """The kept columns of a dataset with logs, with the types of its first log.

    Raises:
        InputError: the log cannot be read, or lacks a column that the user names.
    """
    with storage.local_copy(log.uri) as path, path.open("rb") as handle:
        try:
            found = pq.ParquetFile(handle).schema_arrow
        except (pa.ArrowException, OSError, ValueError) as error:
            message = records.shown(str(error).splitlines()[0], 300)
            raise InputError(f"{log.path}: not readable as img2dataset's log: {message}; fix or remove it") from error
    for name in named or ():
        if name not in found.names:
            raise InputError(f"{log.path}: no column {name!r}; it has {records.listed(found.names)}")
    wanted = [name for name in records.DEFAULT_KEPT if name in found.names] if named is None else named
    return pa.schema([(name, _json_like(found.field(name).type)) for name in wanted])


def _json_like(kind: pa.DataType) -> pa.DataType:
    """The type of a column whose values come partly from the JSON records beside the images."""
    if pa.types.is_boolean(kind):
        return pa.bool_()
    if pa.types.is_integer(kind):
        return pa.int64()
    return pa.float64() if pa.types.is_floating(kind) else pa.string()


def _failures(source: Source, uri: str, kept: pa.Schema) -> list[Failure]:
    wanted = {records.KEY, records.UID, "caption", records.STATUS, records.ERROR, *records.SIZES, *kept.names}
    found: list[Failure] = []
    with storage.local_copy(uri) as path, path.open("rb") as handle:
        try:
            log = pq.ParquetFile(handle)
            if records.STATUS not in log.schema_arrow.names:  # a table beside the tar that is not a log
                return []
            names = [name for name in log.schema_arrow.names if name in wanted]
            for batch in log.iter_batches(columns=names):
                failed = (record for record in batch.to_pylist() if record[records.STATUS] != records.SUCCESS)
                found += [Failure(record, kept, _reject(source, record)) for record in failed]
        except (
            pa.ArrowException,
            OSError,
            ValueError,
        ) as error:  # the local copy is complete: the file is broken
            name = storage.split_query(uri)[0].rpartition("/")[2]
            message = f"{name}, the download log of {source.path}: {records.shown(str(error).splitlines()[0], 300)}"
            return [Failure({}, kept, Reject("read", "bad-parquet", message))]
    return found


def _reject(source: Source, record: Mapping[str, Any]) -> Reject:
    message = f"{record[records.STATUS]}: {record.get(records.ERROR)}"
    return Reject("read", "download", f"{source.path}: {records.shown(message, 300)}")

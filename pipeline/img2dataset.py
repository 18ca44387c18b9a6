"""What img2dataset writes beside its shards: `00000.parquet`, a log of every download, the failed ones included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import captions, records, storage
from pipeline.sample import Reject, Sample, Source
from pipeline.storage import File, Listing

ARCHIVES = (".tar", ".tar.gz", ".tgz")
STATISTICS = "_stats.json"
LOG = ".parquet"


@dataclass(frozen=True)
class Failure:
    """A row for what the log says was not downloaded, or for a log that cannot be read."""

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
    """The logs of a listing, by the name of their shard: that of a tar, or of a folder, in both less the suffix."""
    stems = {file.path.removesuffix(LOG): file for file in listing.files if file.path.endswith(LOG)}
    paths = {file.path for file in listing.files}
    folders = {file.path.rpartition("/")[0] for file in listing.files}
    return {
        stem: file
        for stem, file in stems.items()
        if any(stem + suffix in paths for suffix in ARCHIVES) or (stem in folders and stem + STATISTICS in paths)
    }


def with_log(source: Source, log: File | None) -> Source:
    """The source with its log beside it, whose change makes another version of it."""
    return source if log is None else replace(source, version=f"{source.version}+{log.version}", sidecars=(log.uri,))


def failures(source: Source, kept: pa.Schema) -> Sequence[Failure]:
    """The failed downloads of a source's log, in the order of the log."""
    return [failure for uri in source.sidecars for failure in _failures(source, uri, kept)]


def _failures(source: Source, uri: str, kept: pa.Schema) -> list[Failure]:
    wanted = {records.KEY, records.UID, "caption", records.STATUS, records.ERROR, *records.SIZES, *kept.names}
    found: list[Failure] = []
    with storage.local_copy(uri) as path, path.open("rb") as handle:
        try:
            log = pq.ParquetFile(handle)
            if records.STATUS not in log.schema_arrow.names:  # another table beside a tar, not a log
                return []
            names = [name for name in log.schema_arrow.names if name in wanted]
            for batch in log.iter_batches(columns=names):
                failed = (record for record in batch.to_pylist() if record[records.STATUS] != records.SUCCESS)
                found += [Failure(record, kept, _reject(source, record)) for record in failed]
        except (pa.ArrowException, OSError, ValueError) as error:  # on a file that is there whole: its own fault
            name = uri.rpartition("/")[2]
            message = f"{name}, the log of downloads beside {source.path}: {str(error).splitlines()[0]}"
            return [Failure({}, kept, Reject("read", "bad-parquet", message))]
    return found


def _reject(source: Source, record: Mapping[str, Any]) -> Reject:
    message = f"{record[records.STATUS]}: {record.get(records.ERROR)}"
    return Reject("read", "download", f"{source.path}: {records.escaped(message)}")

"""Deletes the bytes of removed pairs. A removal only hides them: files and older versions of the table keep them.

A purge rewrites the files that hold such rows, rebuilds the indexes, and deletes the versions that need the old files:
tags included, where the tagged version holds a removed pair. The records of runs lose their options and messages, which
may name contents of pairs. It refuses to start while another run is at work. A run
that begins meanwhile is safe: the files that it stages are kept. What it commits from an older version is refused, as
after any cleanup (`pipeline.table.versions`). Other programs have no such check. For them, the oldest version that a
purge keeps is a Merge, which conflicts with every commit of data.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lance
import pyarrow as pa
import pyarrow.compute as pc
from lance.file import LanceFileReader

from pipeline import schema
from pipeline.errors import TableError
from pipeline.fileformats.row_address import ROW_ADDRESS, fragments_of, places_of
from pipeline.processes import Life
from pipeline.table.clean import remove_leftovers
from pipeline.table.commit import Change, Committer, stage
from pipeline.table.compact import rewrite_deleted
from pipeline.table.files import require_no_branches
from pipeline.table.indexes import rebuild_indexes
from pipeline.table.lease import at_work, watch
from pipeline.table.object_store import store_failures
from pipeline.table.run_records import forget_contents
from pipeline.table.store import Table, open_table
from pipeline.table.tags import Tag, list_tags
from pipeline.table.tombstones import LEFT, tombstones
from pipeline.table.transactions import commit, until_landed
from pipeline.table.uri import TableUri

_IDENTIFYING = [schema.UID, schema.SOURCE, schema.IMAGE_SHA256, schema.STATUS]
_CONTENT = [schema.CAPTION, schema.IMAGE_VECTOR, schema.TEXT_VECTOR, schema.THUMBNAIL]
_REMOVED = f"{schema.STATUS} = '{schema.REMOVED}'"


@dataclass(frozen=True)
class PurgePlan:
    """What a purge deletes."""

    tags: Sequence[Tag]
    """tags whose version holds a removed pair"""
    versions: int
    """number of older versions without a tag that stays"""


@dataclass(frozen=True)
class Purged:
    tags: Sequence[Tag]
    versions: int
    bytes: int
    """size of the deleted files"""


def plan_purge(uri: TableUri, removing: Iterable[pa.RecordBatch] = ()) -> PurgePlan:
    """What a purge would delete now. Changes nothing. May wait for a heartbeat of runs on other machines.

    Args:
        removing: the columns LEFT of rows that are to be removed first.

    Raises:
        TableError: another run is at work, the table has branches, or a version cannot be read.
    """
    _require_alone(uri)
    table = open_table(uri)
    require_no_branches(table)
    tags = _holding(table, _Pairs.of(table, removing))
    return PurgePlan(tags, len(_older(table, table.version, tags)))


def purge(uri: TableUri, agreed: Collection[str]) -> Purged:
    """Deletes the bytes of all removed pairs from the table's files. A purge that was killed can be repeated.

    Args:
        agreed: names of the tags that may be deleted.

    Raises:
        TableError: another run is at work; or a tag that is not among `agreed` holds a removed pair.
        StorageError: the store failed.
    """
    with at_work(uri, "purge") as lease:
        _require_alone(uri, lease.key)
        table = open_table(uri)
        require_no_branches(table)
        tags = _holding(table, _Pairs.of(table))
        if new := [tag.name for tag in tags if tag.name not in agreed]:
            raise TableError(
                f"table {uri}: the tag {new[0]!r} was made meanwhile, and its version holds removed pairs; no bytes "
                "were deleted; run the same command again"
            )
        _restage_cleared(uri)
        rewrite_deleted(uri)
        rebuild_indexes(uri)
        version = until_landed(uri, _mark)
        lease.keep()
        _require_alone(uri, lease.key)
        deleted, size = _delete_versions(open_table(uri), version, tags)
        forget_contents(uri)
    return Purged(tags, deleted, size + _delete_leftovers(uri))


@dataclass(frozen=True)
class _Pairs:
    """What identifies removed pairs, as for resuming: their uids, and the images of their sources."""

    uids: pa.Array
    images: pa.Array
    """sha256; a quick look before `in_sources`"""
    in_sources: frozenset[tuple[str, str]]
    """(source, sha256)"""

    @classmethod
    def of(cls, table: Table, removing: Iterable[pa.RecordBatch] = ()) -> _Pairs:
        columns = [schema.UID, schema.SOURCE, schema.IMAGE_SHA256]
        found = [*table.scan(columns, _REMOVED), *(batch.select(columns) for batch in removing)]
        rows = pa.Table.from_batches(found, pa.schema([table.schema.field(name) for name in columns]))
        pairs = zip(rows[schema.SOURCE].to_pylist(), rows[schema.IMAGE_SHA256].to_pylist(), strict=True)
        uids, images = (pc.unique(rows[name].drop_null()) for name in (schema.UID, schema.IMAGE_SHA256))
        return cls(uids, images, frozenset((source, image) for source, image in pairs if image is not None))

    def any_in(self, batch: pa.RecordBatch) -> bool:
        """Whether a batch of _IDENTIFYING holds one of them, and not as a tombstone."""
        living = batch.filter(pc.not_equal(batch[schema.STATUS], schema.REMOVED))
        if pc.any(pc.is_in(living[schema.UID], value_set=self.uids)).as_py():
            return True
        alike = living.filter(pc.is_in(living[schema.IMAGE_SHA256], value_set=self.images, skip_nulls=True))
        found = zip(alike[schema.SOURCE].to_pylist(), alike[schema.IMAGE_SHA256].to_pylist(), strict=True)
        return any(pair in self.in_sources for pair in found)


def _require_alone(uri: TableUri, own: str | None = None) -> None:
    """Raises TableError if another run is at work, or may be. `own`: the key of this run's lease."""
    for key, (holder, life) in watch(uri).items():
        if key == own or life is Life.DEAD:
            continue
        if life is Life.ALIVE:
            raise TableError(f"table {uri}: {holder}; wait until it finishes, or stop it, then purge")
        raise TableError(
            f"table {uri}: {holder}; it sends no heartbeat, but may only be suspended; run its command again, which "
            "takes its place and ends, then purge"
        )


def _holding(table: Table, pairs: _Pairs) -> list[Tag]:
    """The tags whose version has a file with the content of one of these pairs."""
    known: dict[tuple[str, ...], bool] = {}

    def holds(dataset: Any, fragment: Any) -> bool:
        files = tuple(file.path for file in fragment.metadata.files)
        if files not in known:
            rows = dataset.scanner(
                columns=_IDENTIFYING, fragments=[fragment], include_deleted_rows=True, with_row_id=True
            )
            known[files] = _is_cleared(table.uri, dataset, fragment) or any(map(pairs.any_in, rows.to_batches()))
        return known[files]

    with store_failures(table.uri):
        tags = list_tags(table)
        datasets = {tag.name: table.lance.checkout_version(tag.name) for tag in tags}
        return [tag for tag in tags if any(holds(datasets[tag.name], f) for f in datasets[tag.name].get_fragments())]


def _older(table: Table, version: int, doomed: Sequence[Tag]) -> list[int]:
    """The versions before `version` that no other tag than these keeps."""
    names = {tag.name for tag in doomed}
    with store_failures(table.uri):
        kept = {named["version"] for name, named in table.lance.tags.list().items() if name not in names}
        found = [ref["version"] for ref in table.lance.version_refs()]
    return [number for number in found if number < version and number not in kept]


def _is_cleared(uri: TableUri, dataset: Any, fragment: Any) -> bool:
    """Whether contents of tombstones were set to null later, so that an earlier file still has them.

    `verify --repair` does that. The new values of the columns are in a file of their own.
    """
    ids = {field.name(): field.id() for field in dataset.lance_schema.fields()}
    files = {file.path: set(file.fields) for file in fragment.metadata.files}
    content = [name for name in _CONTENT if name in ids]
    moved = [name for name in content if ids[name] not in files[_file_with(files, ids[schema.UID])]]
    if not moved:
        return False
    removed = fragment.to_table(columns=[], filter=_REMOVED, with_row_address=True)
    places = sorted(places_of(removed[ROW_ADDRESS].to_numpy()).tolist())
    return bool(places) and any(
        _has_values(uri, path, [name for name in moved if ids[name] not in fields], places)
        for path, fields in files.items()
    )


def _file_with(files: Mapping[str, Collection[int]], field: int) -> str:
    return next(path for path, fields in files.items() if field in fields)


def _has_values(uri: TableUri, file: str, columns: Sequence[str], places: Sequence[int]) -> bool:
    """Whether a data file has a value in one of these columns, as far as it has them, at one of these places."""
    path = f"{uri.dataset}/data/{file}"
    stored = LanceFileReader(path, storage_options=uri.storage_options).metadata().schema.names
    if not (columns := [name for name in columns if name in stored]):
        return False
    reader = LanceFileReader(path, storage_options=uri.storage_options, columns=columns)
    rows = reader.take_rows(list(places)).to_table()
    return any(column.null_count < len(column) for column in rows.columns)


def _restage_cleared(uri: TableUri) -> None:
    """Writes the tombstones of such fragments anew, so that the fragments count as having deleted rows."""

    def plan(table: Table | None) -> Change:
        assert table is not None
        fragments = table.lance.get_fragments()
        cleared = [fragment.fragment_id for fragment in fragments if _is_cleared(uri, table.lance, fragment)]
        if not cleared:
            return Change([])
        found = pa.Table.from_batches(table.scan(LEFT, _REMOVED, addresses=True))
        numbers = pa.array(fragments_of(found[ROW_ADDRESS].to_numpy()))
        rows = found.filter(pc.is_in(numbers, value_set=pa.array(cleared, numbers.type)))
        return Change([stage(uri, tombstones(rows, table.schema))], rows[ROW_ADDRESS].combine_chunks())

    table = open_table(uri)
    Committer(uri, table.schema, table).apply(plan)


def _mark(table: Table) -> int:
    """Commits a Merge that changes nothing. Returns its version, the oldest without a tag that a purge keeps."""
    fragments = [fragment.metadata for fragment in table.lance.get_fragments()]
    operation = lance.LanceOperation.Merge(fragments, table.lance.lance_schema)
    return int(commit(table.uri, table.version, operation).version)


def _delete_versions(table: Table, version: int, tags: Sequence[Tag]) -> tuple[int, int]:
    """Deletes tags, then the versions before `version` and their files: (number of versions, bytes)."""
    with store_failures(table.uri):
        there = table.lance.tags.list()
        for tag in tags:
            if tag.name in there:
                table.lance.tags.delete(tag.name)
        older = _older(table, version, ())
        if not older:
            return 0, 0
        done = table.lance.cleanup_old_versions(versions=older, error_if_tagged_old_versions=False)
    return int(done.old_versions), int(done.bytes_removed)


def _delete_leftovers(uri: TableUri) -> int:
    """Deletes the files that no version refers to: dead runs have left them. Gives their size in bytes."""
    left = remove_leftovers(uri)
    if started := [*left.at_work, *left.silent]:
        raise TableError(
            f"table {uri}: {started[0]}; it began meanwhile, so files that dead runs have left were kept, and they may "
            "hold removed pairs; run the same command again when it has finished"
        )
    return sum(file.size for file in left.files)

"""What the processes of a schedule do: commands of siglane on a table of a few rows, and what other tools do beside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import lance
import numpy as np
import pyarrow as pa

from pipeline import schema, scoring, table
from pipeline.dedup.run import DedupOptions, dedup_table
from pipeline.embedding import commit_loop
from pipeline.embedding.in_flight import InFlight
from pipeline.embedding.plan import EmbedPlan
from pipeline.errors import TableError
from pipeline.resume import Again, remaining
from pipeline.sample import Chunk, Sample
from pipeline.stages.embed import EmbedSettings, EncoderOptions
from pipeline.table import Committer, Replacing, Staged, TableUri, lease
from pipeline.table.tombstones import tombstones
from pipeline.upkeep.removing import remove
from tests.interleavings import world
from tests.interleavings.scheduler import Process

ROWS_PER_PIECE = 2


@dataclass(frozen=True)
class Actor:
    name: str
    command: Callable[[TableUri, Process], Any]
    is_ours: bool = True
    """a command of siglane; else another tool's, of which any error may come"""
    counts_rows: bool = False
    """whether it notes what it landed, dropped and staged"""


ONCE, RETRY, REPLACE = Again(), Again(retry_rejected=()), Again(replace_changed=True)


def _embed(
    paths: str,
    work: str,
    version: str = world.FIRST,
    again: Again = ONCE,
    rejects: bool = False,
    ahead: bool = False,
) -> Callable[[TableUri, Process], Any]:
    def command(uri: TableUri, process: Process) -> Any:
        existing = table.open_if_exists(uri)
        if existing is not None:
            table.require_same(existing, world.COLUMNS)
        left = remaining([world.chunk(path, version) for path in paths], existing, world.read, again)
        plan = EmbedPlan(
            uri=uri,
            work=work,
            settings=f'"{process.letter}{process.number}"',
            table=existing,
            taken=None,
            without_captions=0,
            chunks=left.chunks,
            skipped=left.skipped,
            copied=left.copied,
            recorded=None,
            replacing=Replacing(left.changed, again.retry_rejected is not None),
            decode=None,  # type: ignore[arg-type]
            sample_seconds=1.0,
            sample_memory=1,
            embed=EmbedSettings(
                EncoderOptions(model="a-model"), world.IDENTITY, existing.schema if existing else world.COLUMNS
            ),
            commit_seconds=0.0,
            max_reject_fraction=1.0,
        )
        landed: Counter[Any] = Counter()
        process.notes["landed"] = landed
        commit_loop.embed(plan, _runner(plan, rejects, ahead), landed.update)
        return landed.total()

    return command


def _runner(plan: EmbedPlan, rejects: bool, ahead: bool) -> commit_loop.Runner:
    """`ahead`: all rows are staged before the first are committed, as other processes may do."""

    def run(_stages: Any, chunks: Sequence[Chunk], _in_flight: InFlight) -> Generator[Staged, None, None]:
        yield from list(staged(chunks)) if ahead else staged(chunks)

    def staged(chunks: Sequence[Chunk]) -> Iterator[Staged]:
        for chunk in chunks:
            samples = [sample for sample in world.read(chunk) if not chunk.is_done(sample.source.path, sample.row)]
            for start in range(0, len(samples), ROWS_PER_PIECE):
                rows = _rows(samples[start : start + ROWS_PER_PIECE], chunk, plan.embed.table_schema, rejects)
                yield table.stage(plan.uri, rows, by_source=bool(plan.replacing.sources))

    return run


def _rows(samples: list[Sample], chunk: Chunk, columns: pa.Schema, rejects: bool) -> pa.Table:
    """As the stages make them: of pairs that were removed from the version before, tombstones."""
    rows = world.rows_of(samples, rejects)
    for field in columns:
        if field.name not in rows.column_names:
            rows = rows.append_column(field, pa.nulls(len(rows), field.type))
    rows = rows.select(columns.names).cast(columns)
    removed = pa.array([not chunk.removed.isdisjoint(row) for row in zip(*_names(rows), strict=True)], pa.bool_())
    living = rows.filter(pa.compute.invert(removed))
    return pa.concat_tables([living, tombstones(rows.filter(removed), columns)])


def _names(rows: pa.Table) -> list[list[str]]:
    return [rows[name].to_pylist() for name in (schema.UID, schema.IMAGE_SHA256)]


def _fill(uri: TableUri, process: Process, counts: Any) -> int:
    filled = process.notes["filled"] = []
    for rows in counts:
        filled.append(rows)
    return sum(filled)


def _dedup(uri: TableUri, process: Process) -> Any:
    return dedup_table(DedupOptions(table=str(uri), method="exact")).duplicates


def _merge(uri: TableUri, process: Process) -> None:
    """As a run does at its end."""
    opened = table.open_table(uri)
    Committer(uri, opened.schema, opened).merge_fragments(run_is_over=True)


def _addresses(uri: TableUri, source: str, row: int) -> np.ndarray:
    opened = table.open_table(uri)
    where = f"source = '{source}' AND source_row = {row}"
    batches = opened.scan([], where, addresses=True)
    return np.concatenate([np.empty(0, np.uint64), *(batch[table.ROW_ADDRESS].to_numpy() for batch in batches)])


def _delete(uri: TableUri, process: Process) -> int:
    """As `verify --repair` does to a row that is there twice."""
    return _all(uri, table.delete_rows(uri, found := _addresses(uri, "a", 2)), found)


def _clear(uri: TableUri, process: Process) -> int:
    """As `verify --repair` does to a wrong score."""
    return _all(uri, table.clear_values(uri, found := _addresses(uri, "a", 1), schema.SCORES), found)


def _all(uri: TableUri, changed: int, found: np.ndarray) -> int:
    """Where fragments were merged meanwhile, `verify` says that the problem is still there, and is run again."""
    if changed < len(found):
        raise TableError(f"table {uri}: {changed} of {len(found)} rows were changed")
    return changed


def _drop(uri: TableUri, process: Process) -> Any:
    """As `verify --repair` does to fragments that cannot be read; here none is lost."""
    return table.drop_fragments(uri, table.lost_files)


def _clean(uri: TableUri, process: Process) -> None:
    """`verify --clean`."""
    table.remove_leftovers(uri)


def _take_over(uri: TableUri, process: Process) -> None:
    """As runs do that find all others silent, and then end."""
    holders = table.read_holders(table.open_table(uri))
    lease.time.sleep(lease.PATIENCE_SECONDS)
    lease.forget(uri, holders)


def _purge(uri: TableUri, process: Process) -> None:
    table.purge(uri, [])


def _copies(uri: TableUri, process: Process) -> int:
    return int(table.record_versions(table.open_table(uri), {"a": world.COPIED}).version)


def _cleanup(uri: TableUri, process: Process) -> None:
    lance.dataset(uri.dataset).cleanup_old_versions(older_than=timedelta(0), error_if_tagged_old_versions=False)


def _create_index(uri: TableUri, process: Process) -> None:
    lance.dataset(uri.dataset).create_scalar_index(schema.UID, "BTREE")


def _optimize(uri: TableUri, process: Process) -> None:
    lance.dataset(uri.dataset).optimize.compact_files()


def _foreign_delete(uri: TableUri, process: Process) -> None:
    lance.dataset(uri.dataset).delete("source = 'a' AND source_row = 2")


ACTORS = {
    actor.name: actor
    for actor in (
        Actor("embed", _embed("c", "embed of in"), counts_rows=True),
        Actor("embed-ahead", _embed("c", "embed of in", ahead=True), counts_rows=True),
        # the same rows by another name of the input, so by another lease
        Actor("embed-other", _embed("dc", "embed of ./in"), counts_rows=True),
        Actor("embed-d", _embed("d", "embed of d"), counts_rows=True),
        Actor("embed-all", _embed("abc", "embed of all", rejects=True), counts_rows=True),
        Actor("retry", _embed("b", "embed of b", again=RETRY), counts_rows=True),
        Actor("retry-other", _embed("b", "embed of ./b", again=RETRY), counts_rows=True),
        Actor("replace", _embed("b", "embed of new b", world.CHANGED, REPLACE), counts_rows=True),
        Actor("replace-other", _embed("b", "embed of ./new b", world.CHANGED, REPLACE), counts_rows=True),
        Actor("copies", _copies),
        Actor("merge", _merge),
        Actor(
            "remove", lambda uri, _: remove(uri, None, f"{schema.SOURCE} = 'b' AND {schema.SOURCE_ROW} <= 1").removed
        ),
        Actor(
            "remove-a", lambda uri, _: remove(uri, None, f"{schema.SOURCE} = 'a' AND {schema.SOURCE_ROW} = 0").removed
        ),
        Actor("score", lambda uri, process: _fill(uri, process, scoring.score_table(uri))),
        Actor("score-all", lambda uri, process: _fill(uri, process, scoring.score_table(uri, again=True))),
        Actor("signal", lambda uri, process: _fill(uri, process, scoring.fill_signal(uri, "caption_length"))),
        Actor("dedup", _dedup),
        Actor("delete", _delete),
        Actor("clear", _clear),
        Actor("drop", _drop),
        Actor("clean", _clean),
        Actor("take-over", _take_over),
        Actor("purge", _purge),
        Actor("index", _create_index, is_ours=False),
        Actor("update-index", lambda uri, _: table.update_indexes(uri)),
        Actor("cleanup", _cleanup, is_ours=False),
        Actor("optimize", _optimize, is_ours=False),
        Actor("foreign-delete", _foreign_delete, is_ours=False),
    )
}
"""by name"""

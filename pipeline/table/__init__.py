"""The Lance table: the only place that talks to Lance and LanceDB."""

import os

# Without this, Lance warns about each fragment staged before its table exists. Every first run begins that way.
os.environ.setdefault("LANCE_LOG", "error")

from pipeline.fileformats.row_address import ROW_ADDRESS
from pipeline.table.clean import remove_leftovers
from pipeline.table.columns import add_columns, annotate_columns, fill_columns
from pipeline.table.commit import Committer, Staged, stage
from pipeline.table.compact import VERSIONS_KEPT, merge_all, remove_old_versions
from pipeline.table.files import INDEX_FOLDER, Leftovers, find_leftovers, lost_files, unreadable_fragments
from pipeline.table.fill import Fill, Filled, RunFill, one_by_one
from pipeline.table.grouping import Groups
from pipeline.table.history import Commit, RunCommit, Sign, commits_of_run, last_commit, signs_of_work
from pipeline.table.indexes import Index, drop_indexes, list_indexes, lost_indexes, update_indexes
from pipeline.table.lease import BUILDING, PATIENCE_SECONDS, Holder, Lease, at_work, read_holders
from pipeline.table.ledger import LedgerEntry, done_rows, read_ledger, rejected_rows, removed_pairs, rows_of_sources
from pipeline.table.nearest import DISTANCE, QUERY, ROW_ID, SCORE, Through, best_by_words, nearest
from pipeline.table.probe import require_conditional_puts, require_writable
from pipeline.table.purging import Purged, PurgePlan, plan_purge, purge
from pipeline.table.remove import Named, count_rows, find_rows, remove_rows
from pipeline.table.repair import allow_nulls, clear_values, delete_rows, drop_fragments
from pipeline.table.replacing import Replacing
from pipeline.table.run_records import (
    RecordFile,
    RunRecord,
    State,
    count_runs,
    new_id,
    read_run,
    read_runs,
)
from pipeline.table.source_versions import record_versions
from pipeline.table.store import (
    EMBEDDED,
    ROWS_PER_BATCH,
    Table,
    columns_without_nulls,
    exists,
    lacks_captions,
    open_if_exists,
    open_table,
    require_same,
)
from pipeline.table.tags import Tag, delete_tags, list_tags
from pipeline.table.uri import TableUri, parse, parse_writable
from pipeline.table.value_index import ValueIndex, build_value_index, has_text_index, kind_for, value_indexes
from pipeline.table.vector_index import (
    KINDS,
    Asked,
    IndexRecord,
    Kind,
    VectorIndex,
    build_vector_index,
    drop_impossible_indexes,
    drop_vector_index,
    newest,
    partitions,
    read_index_records,
    rows_without,
    update_index,
    vector_index,
    why_no_index,
    write_index_record,
)
from pipeline.table.whole_sources import WholeSources

__all__ = [
    "BUILDING",
    "DISTANCE",
    "EMBEDDED",
    "INDEX_FOLDER",
    "KINDS",
    "PATIENCE_SECONDS",
    "QUERY",
    "ROWS_PER_BATCH",
    "ROW_ADDRESS",
    "ROW_ID",
    "SCORE",
    "VERSIONS_KEPT",
    "Asked",
    "Commit",
    "Committer",
    "Fill",
    "Filled",
    "Groups",
    "Holder",
    "Index",
    "IndexRecord",
    "Kind",
    "Lease",
    "LedgerEntry",
    "Leftovers",
    "Named",
    "PurgePlan",
    "Purged",
    "RecordFile",
    "Replacing",
    "RunCommit",
    "RunFill",
    "RunRecord",
    "Sign",
    "Staged",
    "State",
    "Table",
    "TableUri",
    "Tag",
    "Through",
    "ValueIndex",
    "VectorIndex",
    "WholeSources",
    "add_columns",
    "allow_nulls",
    "annotate_columns",
    "at_work",
    "best_by_words",
    "build_value_index",
    "build_vector_index",
    "clear_values",
    "columns_without_nulls",
    "commits_of_run",
    "count_rows",
    "count_runs",
    "delete_rows",
    "delete_tags",
    "done_rows",
    "drop_fragments",
    "drop_impossible_indexes",
    "drop_indexes",
    "drop_vector_index",
    "exists",
    "fill_columns",
    "find_leftovers",
    "find_rows",
    "has_text_index",
    "kind_for",
    "lacks_captions",
    "last_commit",
    "list_indexes",
    "list_tags",
    "lost_files",
    "lost_indexes",
    "merge_all",
    "nearest",
    "new_id",
    "newest",
    "one_by_one",
    "open_if_exists",
    "open_table",
    "parse",
    "parse_writable",
    "partitions",
    "plan_purge",
    "purge",
    "read_holders",
    "read_index_records",
    "read_ledger",
    "read_run",
    "read_runs",
    "record_versions",
    "rejected_rows",
    "remove_leftovers",
    "remove_old_versions",
    "remove_rows",
    "removed_pairs",
    "require_conditional_puts",
    "require_same",
    "require_writable",
    "rows_of_sources",
    "rows_without",
    "signs_of_work",
    "stage",
    "unreadable_fragments",
    "update_index",
    "update_indexes",
    "value_indexes",
    "vector_index",
    "why_no_index",
    "write_index_record",
]

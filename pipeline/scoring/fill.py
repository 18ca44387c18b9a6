"""Fills a table's score columns, in the rows that lack them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from pipeline import schema
from pipeline.errors import TableError, UsageError
from pipeline.mismatch.q_values import BY_COSINE, How
from pipeline.mismatch.reference import draw_reference
from pipeline.scoring.checked import prepared
from pipeline.scoring.chosen import Chosen, find
from pipeline.scoring.origin import Origin
from pipeline.scoring.signal_columns import add_signal_columns, require_read
from pipeline.scoring.signals import Context, Fitted
from pipeline.scoring.target import Target, require_target
from pipeline.stages import score
from pipeline.table import RunFill, Table, TableUri, annotate_columns, fill_columns, one_by_one, open_table


def score_table(uri: TableUri, again: bool = False, run: RunFill = one_by_one) -> Iterator[int]:
    """Scores the pairs that have both vectors and no score yet. Yields the number of rows of each commit.

    Args:
        again: also score pairs that have a score.
        run: where to compute the scores; by default in this process.

    Raises:
        TableError: there is no such table.
    """
    call = score.Score(open_table(uri).identity)
    where = score.SCORABLE if again else f"{score.SCORABLE} AND {schema.COSINE} IS NULL"
    return fill_columns(uri, "score", score.COLUMNS, where, call, run)


def fill_signal(
    uri: TableUri,
    name: str,
    again: bool = False,
    target: Target | None = None,
    run: RunFill = one_by_one,
    how: How = BY_COSINE,
) -> Iterator[int]:
    """Fills a signal's columns, and adds them if the table lacks them. Otherwise as `score_table`.

    `name`: as `choose` takes it. `target`: the images to compare with, for a signal that needs them. `how`: to estimate
    q-values, for a signal that needs them.

    Raises:
        UsageError: there is no such signal, or it needs a target.
        SignalError: a signal that is not built in raised an error, or returned something else than its columns.
        TableError: there is no such table; it lacks a column that the signal reads; it has a column of that name with
            another type, or not by this signal; or, without `again`, the columns have values of another version, or for
            another target.
    """
    chosen = find(name)
    signal = chosen.signal
    if signal.NEEDS_TARGET and target is None:
        raise UsageError(f"signal {name!r}: it compares with the images of another table; give --target TABLE")
    fitted = _fitted(open_table(uri), chosen, how, again) if chosen.is_built_in and hasattr(signal, "fitted") else None
    if fitted is not None:
        chosen, signal = replace(chosen, signal=fitted.signal, version=fitted.version), fitted.signal
    require_read(open_table(uri), chosen)
    add_signal_columns(uri, chosen, again)
    if fitted is not None:
        annotate_columns(uri, chosen.columns[:1], schema.ESTIMATE_KEY, fitted.estimate)
    if signal.NEEDS_TARGET and target is not None:
        require_target(uri, chosen.columns, target, again, chosen.work)
    table = open_table(uri)
    present = " AND ".join(f"`{column}` IS NOT NULL" for column in signal.READ)
    where = present if again else f"{present} AND {chosen.columns[0]} IS NULL"
    if not table.any(where):
        return iter(())
    context = Context(
        table.identity.logit_scale,
        lambda most, seed: draw_reference(table, most, seed),
        None if target is None else target.vectors,
    )
    groups = () if fitted is None else fitted.groups
    read = list(dict.fromkeys([*signal.READ, *groups, schema.UID]))
    origins = []
    if chosen.version is not None:
        origins.append(Origin(schema.SIGNAL_KEY, {"signal": chosen.name, "version": chosen.version}, ("version",)))
    if signal.NEEDS_TARGET and target is not None:
        origins.append(Origin(schema.TARGET_KEY, target.record, ("digest",)))
    require = partial(_require_origins, chosen.columns[:1], origins)
    return fill_columns(uri, chosen.work, read, where, prepared(chosen, context), run, require)


def _require_origins(columns: Sequence[str], origins: Sequence[Origin], table: Table) -> None:
    """Checks that no other run has recorded another origin of the columns since this run did."""
    if any(origin.other(table, columns) for origin in origins):
        raise TableError(
            f"table {table.uri}: another run has just begun to fill its {columns[0]} in another way; run one after the "
            "other"
        )


def _fitted(table: Table, chosen: Chosen, how: How, again: bool) -> Fitted:
    """The signal with its estimate: the one stored in the table's columns, or with `again` a new one."""
    (column, *_) = chosen.columns
    metadata = (table.schema.field(column).metadata or {}) if column in table.schema.names else {}
    stored = None if again else metadata.get(schema.ESTIMATE_KEY.encode())
    found: Fitted = chosen.signal.fitted(table, how, None if stored is None else stored.decode())  # type: ignore[attr-defined]
    return found

"""Calls a signal that is not built in, and checks what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipeline import schema
from pipeline.errors import SignalError
from pipeline.scoring.chosen import Chosen
from pipeline.scoring.signal_errors import FAILURES, described, told
from pipeline.scoring.signals import Columns, Context


@dataclass(frozen=True)
class Checked:
    """Callable on a batch with the columns of READ and `uid`; returns the signal's columns."""

    name: str
    file: str | None
    fields: Mapping[str, pa.DataType]
    read: Sequence[str]
    compute: Callable[[pa.RecordBatch], Columns]

    def __call__(self, batch: pa.RecordBatch) -> Columns:
        """Raises SignalError if the signal raises an error, or returns anything but its columns for these rows."""
        try:
            found = self._of(batch)
        except FAILURES as error:
            rows = self._least_that_fails(batch)
            raise SignalError(f"signal {self.name!r}: {described(error, self.file)}; {_named(rows)}") from error
        self._require_columns(found, batch)
        return found

    def _of(self, batch: pa.RecordBatch) -> Columns:
        return self.compute(batch.select(list(self.read)))

    def _least_that_fails(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The row that the signal fails at; several if it does so only with these together."""
        while len(batch) > 1:
            middle = len(batch) // 2
            failing = next((half for half in (batch[:middle], batch[middle:]) if self._fails(half)), None)
            if failing is None:
                break
            batch = failing
        return batch

    def _fails(self, batch: pa.RecordBatch) -> bool:
        try:
            self._of(batch)
        except FAILURES:
            return True
        return False

    def _require_columns(self, found: object, batch: pa.RecordBatch) -> None:
        if not isinstance(found, Mapping) or set(found) != set(self.fields):
            got = f"the columns {', '.join(map(str, found))}" if isinstance(found, Mapping) else _kind(found)
            raise self._wrong(f"it returned {got}, but FIELDS has {', '.join(self.fields)}", batch)
        for name, kind in self.fields.items():
            values = found[name]
            if not isinstance(values, pa.Array | pa.ChunkedArray):
                raise self._wrong(
                    f"its {name} is {_kind(values)}; return pa.array(values, pa.{_pyarrow(kind)}())", batch
                )
            if len(values) != len(batch):
                raise self._wrong(f"it returned {len(values)} values of {name} for {len(batch)} rows", batch)
            if values.type != kind:
                raise self._wrong(f"its {name} has type {values.type}, but FIELDS says {kind}", batch)

    def _wrong(self, what: str, batch: pa.RecordBatch) -> SignalError:
        return SignalError(f"signal {self.name!r}: {what}; {_named(batch)}; fix {self.file}")


def prepared(chosen: Chosen, context: Context) -> Callable[[pa.RecordBatch], Columns]:
    """The function of a signal, checked unless it is built in.

    Raises:
        SignalError: preparing it raised an error, or did not return a function.
    """
    if chosen.is_built_in:
        return chosen.signal.prepare(context)
    with told(f"signal {chosen.name!r}", chosen.file, SignalError):
        compute = chosen.signal.prepare(context)
    if not callable(compute):
        raise SignalError(
            f"signal {chosen.name!r}: its prepare returned {_kind(compute)}; return a function of a RecordBatch"
        )
    return Checked(chosen.name, chosen.file, dict(chosen.signal.FIELDS), tuple(chosen.signal.READ), compute)


def _pyarrow(kind: pa.DataType) -> str:
    """The function of pyarrow that makes a type: three types have another name than that."""
    return {"halffloat": "float16", "float": "float32", "double": "float64", "bool": "bool_"}.get(str(kind), str(kind))


def _kind(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _named(rows: pa.RecordBatch) -> str:
    uids = rows[schema.UID]
    return f"at the row with uid {uids[0]}" if len(rows) == 1 else f"at the {len(rows)} rows from uid {uids[0]} on"

"""Keeps the record of a run with its table: written soon after its start, renewed while it works, completed at its end.

Neither wrong usage leaves a record, nor a run that fails before there is a table. A record that cannot be written never
fails a run.
"""

from __future__ import annotations

import getpass
import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial, wraps
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel

import pipeline
from jobs import command
from jobs.command import Result
from pipeline import schema, storage, this_run
from pipeline import table as tables
from pipeline.errors import SiglaneError, UsageError
from pipeline.on_ray.submission import submission_id
from pipeline.processes import Process
from pipeline.progress import current
from pipeline.table import RecordFile, RunRecord, State, TableUri
from pipeline.table.run_records import MOST_SECONDS_BETWEEN
from siglip_core.errors import SiglipError

FIRST_SECONDS = 1.0
"""The first record is written after so long: most wrong usage is found by then."""
SECONDS_BETWEEN_AT_FIRST = 8.0
"""until the first commit; from then on, the entry of the run at work tells how far it is"""
PATIENCE_SECONDS = 10.0
"""for a store that does not take a record, at the end"""

OUTCOMES = {command.DONE: State.DONE, command.STOPPED: State.STOPPED, command.INTERRUPTED: State.STOPPED}
"""by exit code; every other one is a failure"""

log = logging.getLogger(__name__)

Options = TypeVar("Options", bound=BaseModel)


class Decorator(Protocol):
    def __call__(self, work: Callable[[Options], Result], /) -> Callable[[Options], Result]: ...


def in_table(
    name: str,
    changed: Callable[[Mapping[str, Any]], int] | None = None,
    when: Callable[[Any], bool] = lambda _options: True,
) -> Decorator:
    """Decorates a command that changes the table of its option `table`: each of its runs gets a record there.

    Args:
        name: of the command.
        changed: the number of rows whose columns were filled, by the command's summary.
        when: whether a run with these options changes the table.
    """

    def decorate(work: Callable[[Options], Result]) -> Callable[[Options], Result]:
        @wraps(work)
        def recorded(options: Options) -> Result:
            uri = tables.parse(options.table)  # type: ignore[attr-defined]
            if uri.state is not None or not when(options):
                return work(options)
            return _Recording(uri, name, options).around(partial(work, options), changed)

        return recorded

    return decorate


class _Recording:
    """Writes the record of one run, in a thread of its own: a slow store does not hold up the run."""

    def __init__(self, uri: TableUri, name: str, options: BaseModel) -> None:
        self._uri, self._begun = uri, _begun(name, options)
        this_run.begin(self._begun.id, self._begun.ray_job)
        self._final: RunRecord | None = None
        """the record at the end; None for a run that leaves none"""
        self._error: Exception | None = None
        """why the last record could not be written"""
        self._is_over = False
        self._thread = threading.Thread(target=self._write, name="run record", daemon=True)

    def around(self, work: Callable[[], Result], changed: Callable[[Mapping[str, Any]], int] | None) -> Result:
        self._thread.start()
        try:
            result = work()
        except UsageError:
            self._end(None)
            raise
        except BaseException as error:
            self._end(_at_end(self._now(), command.exit_code(error), _message(error)))
            raise
        counted = replace(
            self._now(),
            rows_skipped=result.summary.get("skipped"),
            rows_changed=None if changed is None else changed(result.summary),
        )
        self._end(_at_end(counted, result.exit_code, result.advice))
        if self._error is not None:  # of a run that failed, its own error says more
            why = storage.reason(self._error)
            log.warning("table %s: the record of this run, for `siglane runs`, is not written: %s", self._uri, why)
        return result

    def _end(self, final: RunRecord | None) -> None:
        self._final = final
        self._is_over = True
        this_run.current.news.set()
        self._thread.join(PATIENCE_SECONDS)
        if self._thread.is_alive():
            self._error = TimeoutError("the store does not answer")

    def _write(self) -> None:
        file: RecordFile | None = None
        news, pause, is_over = this_run.current.news, FIRST_SECONDS, False
        while not is_over:
            news.wait(pause)
            news.clear()
            is_over = self._is_over
            try:
                file = file or RecordFile(self._uri, self._begun.id)
                if not is_over:
                    file.write(self._now())
                elif self._final is None or self._failed_without_table(self._final):
                    file.remove()
                else:
                    file.write(self._final)
                self._error = None
            except Exception as error:
                if not isinstance(error, SiglaneError) and storage.retries.failure_of(error) is None:
                    raise
                self._error = error
            pause = MOST_SECONDS_BETWEEN if this_run.current.commits else SECONDS_BETWEEN_AT_FIRST

    def _failed_without_table(self, final: RunRecord) -> bool:
        return final.state is State.FAILED and not final.commits and not tables.exists(self._uri)

    def _now(self) -> RunRecord:
        run, far = this_run.current, current.look().as_record()
        with run.lock:
            embedded, rejected = run.rows[schema.SUCCESS], run.rows[schema.REJECTED]
            return replace(
                self._begun,
                seen=_now(),
                ray_job=run.job,
                commits=run.commits,
                first_version=run.first_version,
                last_version=run.last_version,
                rows_read=embedded + rejected,
                rows_embedded=embedded,
                rows_rejected=rejected,
                encoders=run.encoders,
                device=run.device,
                progress=far,
                **({} if run.work is None else asdict(run.work)),
            )


def _begun(name: str, options: BaseModel) -> RunRecord:
    now, this, given = datetime.now(UTC), Process.this(), storage.redact_options(options)
    inputs = given.get("input")
    return RunRecord(
        id=tables.new_id(now),
        command=name,
        work=f"{name} of {', '.join(inputs)}" if inputs else name,
        options=given,
        folder=_folder(),
        siglane=pipeline.__version__,
        host=socket.gethostname(),
        user=_user(),
        pid=this.pid,
        place=this.place,
        process_start=this.start,
        ray_job=submission_id(),
        started=now.isoformat(timespec="milliseconds"),
        seen=now.isoformat(timespec="milliseconds"),
    )


def _at_end(record: RunRecord, code: int, message: str | None) -> RunRecord:
    return replace(
        record,
        ended=record.seen,
        state_at_end=OUTCOMES.get(code, State.FAILED).value,
        exit_code=code,
        message=None if message is None else storage.redact(message),
        progress=None,
    )


def _message(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "stopped by a signal"
    known = isinstance(error, SiglaneError | SiglipError)
    return str(error) if known else f"{type(error).__name__}: {storage.reason(error)}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # as in a container whose user has no name
        return str(os.getuid())


def _folder() -> str:
    try:
        return str(Path.cwd())
    except FileNotFoundError:  # it was removed
        return ""

"""Checks that a table keeps its contract. Each check has a name, and its memory does not grow with the table.

Basic checks come first: if files or columns are missing, the checks that need them are skipped. With `--repair`, each
problem is fixed as soon as it is found, and the check runs again, so that later checks see the repaired table.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from pydantic import Field, model_validator

from pipeline import schema, table
from pipeline.errors import TableError
from pipeline.progress import current
from pipeline.sources import InputOptions
from pipeline.table import Leftovers, Table, TableUri
from pipeline.verify import counts, embedded_again, invariants, storage, uniqueness
from pipeline.verify.counts import Input
from pipeline.verify.problem import EXAMPLES, Problem, Repaired

__all__ = ["EXAMPLES", "Mended", "Problem", "Report", "VerifyOptions", "verify"]

log = logging.getLogger(__name__)

Check = Callable[[Table], list[Problem]]


class VerifyOptions(InputOptions):
    """Options of a verification. The input options are those of the run that made the table."""

    table: str = Field(description="DATABASE/NAME of the table")
    input: tuple[str, ...] = Field(
        (), description="the input that the table was made from, to compare", json_schema_extra={"repeatable": True}
    )
    sample: int = Field(0, ge=0, description="embed this many random rows again and compare; needs --input")
    seed: int = Field(0, ge=0, description="seed of the random sample")
    model: str | None = Field(None, description="folder of the model, if it has moved since the table was made")
    clean: bool = Field(False, description="delete the files that dead runs have left in the table's folder")
    repair: bool = Field(False, description="repair the problems that can be repaired")

    @model_validator(mode="after")
    def _sample_of_input(self) -> VerifyOptions:
        if self.sample and not self.input:
            raise ValueError("--sample embeds rows again: give the --input that the table was made from")
        return self


@dataclass(frozen=True)
class Mended:
    """A problem that was found and repaired."""

    check: str
    count: int
    repaired: Repaired


@dataclass
class Report:
    """What was checked, and what was found."""

    uri: TableUri
    version: int = 0
    rows: int = 0
    checked: list[str] = field(default_factory=list)
    not_checked: dict[str, str] = field(default_factory=dict)
    """reason by name of the check"""
    problems: list[Problem] = field(default_factory=list)
    """problems that remain"""
    mended: list[Mended] = field(default_factory=list)
    sources: dict[str, int] = field(default_factory=dict)
    sampled: int = 0
    leftovers: Leftovers | None = None
    cleaned: bool = False


def verify(options: VerifyOptions) -> Report:
    """Checks a table, and repairs it if the options say so.

    Raises:
        SiglaneError: there is no such table, siglane did not create it, or its input cannot be listed.
    """
    changes = options.repair or options.clean
    uri = table.parse_writable(options.table) if changes else table.parse(options.table)
    report = Report(uri)
    table.open_table(uri)
    listed = Input.list(options) if options.input else None
    if uri.state is None:
        report.leftovers = table.remove_leftovers(uri) if options.clean else table.find_leftovers(uri)
    run = partial(_run, report, options.repair)
    if run("schema", check=storage.check_schema) and run("files", check=storage.check_files) and _check_rows(run):
        if schema.thumbnail_px(table.open_table(uri).schema) is not None:
            run(invariants.THUMBNAILS.name, check=invariants.check_thumbnails)
        run("ledger-keys", check=uniqueness.check_ledger_keys)
        run("uids", check=uniqueness.check_uids)
        run("nullable-columns", check=storage.check_nullable)
        _check_counts(report, listed)
        if listed is not None and options.sample:
            run("sample", check=partial(_check_sample, report, options, listed))
        run("indexes", check=storage.check_indexes)
    else:
        report.not_checked["rows"] = "columns or files are missing or damaged"
    if lost := sum(mended.repaired.to_embed for mended in report.mended):
        report.problems.append(Problem("rows-to-embed", lost, (), "run the command that made the table again"))
    opened = table.open_table(uri)
    report.version, report.rows = opened.version, opened.count()
    return report


def _run(report: Report, repair: bool, *names: str, check: Check) -> bool:
    """Runs a check. With `repair`, fixes its problems and runs it again. Returns whether no problem remains."""
    log.info("table %s: checking %s", report.uri, ", ".join(names))
    checked = table.open_table(report.uri)
    several = len(names) > 1  # in one scan of all rows
    current.begin(f"checking {'rows' if several else names[0]}", checked.count() if several else None)
    problems = check(checked)
    repairs = []
    for problem in problems if repair else ():
        if problem.repair is not None:
            repaired = problem.repair()
            repairs.append(Mended(problem.check, problem.count, repaired))
            log.info("table %s: %s: %s", report.uri, problem.check, repaired.how)
    if repairs:
        problems = check(table.open_table(report.uri))
    report.checked += names
    report.mended += repairs
    report.problems += problems
    return not problems


def _check_rows(run: Callable[..., bool]) -> bool:
    """Checks all rows, and returns whether they can be read. Looks for unreadable fragments only if a read failed."""
    names = [check.name for check in invariants.CHECKS]
    try:
        run(*names, check=invariants.check_rows)
    except TableError:
        if not run("readable", check=storage.check_readable):
            return False
        run(*names, check=invariants.check_rows)
    return True


def _check_counts(report: Report, listed: Input | None) -> None:
    checked = table.open_table(report.uri)
    ledger = table.read_ledger(checked)
    report.sources = counts.count_sources(ledger, listed)
    found = {"rows-beyond-source": counts.check_source_rows(ledger)}
    at_work = report.leftovers is not None and report.leftovers.at_work
    if at_work:
        report.not_checked["incomplete-sources"] = "a run is active"
    else:
        found["incomplete-sources"] = counts.check_complete(ledger)
    if listed is not None:
        found["changed-sources"] = counts.check_unchanged(ledger, listed, checked)
        if at_work:
            report.not_checked["new-sources"] = "a run is active"
        else:
            found["new-sources"] = counts.check_new(ledger, listed)
    report.checked += found
    report.problems += [problem for problems in found.values() for problem in problems]


def _check_sample(report: Report, options: VerifyOptions, listed: Input, checked: Table) -> list[Problem]:
    drawn = embedded_again.draw(checked, listed, options.sample, options.seed)
    report.sampled = len(drawn)
    return embedded_again.check_sample(checked, listed, drawn, options.model or checked.identity.model)

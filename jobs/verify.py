"""Check a table's files, rows, vectors, counts and indexes; repair it, and clean up after dead runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from jobs import command, progress
from jobs.command import Result
from pipeline import verify as verification
from pipeline.table import Leftovers
from pipeline.verify import EXAMPLES, Report, VerifyOptions
from pipeline.wording import counted


@progress.shown()
def verify(options: VerifyOptions) -> Result:
    started = time.monotonic()
    report = verification.verify(options)
    summary = {
        "table": options.table,
        "ok": not report.problems,
        "problems": [problem.as_dict() for problem in report.problems],
        "mended": [{"check": m.check, "count": m.count, "how": m.repaired.how} for m in report.mended],
        "version": report.version,
        "rows": report.rows,
        "checked": report.checked,
        "not_checked": report.not_checked,
        "sources": report.sources,
        "sampled": report.sampled,
        "leftovers": None if report.leftovers is None else _leftovers(report.leftovers, options.clean),
        "seconds": round(time.monotonic() - started, 3),
    }
    text = "\n".join(_lines(options, report))
    if report.problems:
        remain = counted(len(report.problems), "problem remains", "problems remain")
        advice = f"{remain} in {options.table}; each names its fix"
        return Result(summary, text, command.FAILED, advice)
    return Result(summary, text)


def _leftovers(left: Leftovers, cleaned: bool) -> dict[str, Any]:
    return {
        "orphans": len(left.files),
        "bytes": sum(file.size for file in left.files),
        "examples": [file.path for file in left.files[:EXAMPLES]],
        "dead_runs": [str(holder) for holder in left.dead.values()],
        "at_work": [str(holder) for holder in left.at_work],
        "silent": [str(holder) for holder in left.silent],
        "removed": cleaned,
    }


def _lines(options: VerifyOptions, report: Report) -> list[str]:
    lines = [f"{mended.check}: {mended.count} found; {mended.repaired.how}" for mended in report.mended]
    lines += [str(problem) for problem in report.problems]
    if report.leftovers is not None:
        lines += _lines_of_leftovers(report.leftovers, options.clean)
    lines += [f"not checked: {name}, because {why}" for name, why in report.not_checked.items()]
    kinds = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in report.sources.items())
    again = f"{counted(report.sampled, 'row')} embedded again; " if options.sample else ""
    lines.append(
        f"{options.table}: version {report.version}, {counted(report.rows, 'row')}; sources: {kinds or 'not checked'}; "
        f"{again}{counted(len(report.problems), 'problem') if report.problems else 'no problems'}"
    )
    return lines


def _lines_of_leftovers(left: Leftovers, cleaned: bool) -> list[str]:
    done = "removed" if cleaned else "--clean removes them"
    lines = [f"at work: {holder}" for holder in left.at_work]
    lines += [f"silent, possibly dead: {holder}" for holder in left.silent]
    lines += [f"dead: {holder}; its entry: {done.replace('them', 'it')}" for holder in left.dead.values()]
    if left.files:
        size = sum(file.size for file in left.files) / 1e6
        lines.append(
            f"{counted(len(left.files), 'file')} ({size:.1f} MB) of dead runs that no version refers to: {done}"
        )
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(VerifyOptions, verify, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())

"""Speed and cost of the runs, and what held them up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from pipeline.report import wording
from pipeline.report.contents import Contents
from pipeline.report.markup import element, joined, shortened
from pipeline.report.runs import VERSIONS, PastRun
from pipeline.report.sections.table import table

_RECORD = (
    "From the table's history: the times of commits, and the heartbeats between them. The time before a run's first "
    "heartbeat is unknown: the start and, in a new table, the first commit. It does not count in the time or in rows "
    "per second; pauses do not count either. A copied table has the times of the copy. The number of machines is not "
    "recorded."
)


def section(contents: Contents) -> Markup:
    if not contents.runs:
        words = f"No runs are recorded: the last {wording.count(VERSIONS, 'version')} of the table added no rows."
        return element("p", words, class_="soft")
    heads = ["input", "from", "commits", "rows", "working time", "rows per second"]
    has_work = any(run.work for run in contents.runs)
    heads += ["held up by"] if has_work else []
    heads += ["cost"] if contents.cost_per_hour is not None else []
    rows = [list(_cells(run, has_work, contents.cost_per_hour)) for run in contents.runs]
    parts = [table(heads, rows, texts=2), *_help(contents.runs)]
    seconds = sum(run.seconds for run in contents.runs)
    if not seconds:
        parts.append(element("p", "The working time of the runs is not recorded."))
    elif contents.cost_per_hour is None:
        parts.append(element("p", f"Working time {wording.duration(seconds)}. Give --cost-per-hour to see the cost."))
    else:
        cost = seconds / 3600 * contents.cost_per_hour
        parts.append(
            element(
                "p",
                f"Working time {wording.duration(seconds)} × {contents.cost_per_hour:,.2f} per hour = {cost:,.2f}. The "
                "price per hour is that of all machines of a run together.",
            )
        )
    return joined([*parts, element("p", _RECORD, class_="soft")])


def _help(runs: Sequence[PastRun]) -> Iterator[Markup]:
    """What would make a further run faster, by the last one whose record tells what held it up."""
    work = next((run.work for run in reversed(runs) if run.work is not None), None)
    if work is not None:
        busy = f"Its encoders were busy {work.encoders_busy:.0%} of the time"
        yield element("p", f"The last run that recorded it was held up by its {work.bottleneck}. {busy}; {work.helps}.")


def _cells(run: PastRun, has_work: bool, cost_per_hour: float | None) -> Iterator[str]:
    inputs = run.settings.get("input")
    yield shortened(", ".join(map(str, inputs)) if isinstance(inputs, list) else "not recorded", 120)
    yield run.first.isoformat(sep=" ", timespec="minutes").removesuffix("+00:00")
    yield wording.count(run.commits)
    yield wording.count(run.rows)
    yield wording.duration(run.seconds) if run.seconds else "–"
    yield "–" if run.rows_per_second is None else f"{run.rows_per_second:,.1f}"
    if has_work:
        yield "–" if run.work is None else run.work.bottleneck
    if cost_per_hour is not None:
        yield f"{run.seconds / 3600 * cost_per_hour:,.2f}" if run.seconds else "–"

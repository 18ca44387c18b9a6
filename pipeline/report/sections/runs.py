"""How fast the runs were, and what they cost."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from pipeline.report import wording
from pipeline.report.contents import Contents
from pipeline.report.markup import element, joined, shortened
from pipeline.report.runs import VERSIONS, PastRun
from pipeline.report.sections.table import table

_RECORD = (
    "From the table's own history: when rows were committed, and the signs that a run was at work in between. What "
    "came before a run's first sign is not known: its start and, in a new table, its first commit, which count neither "
    "as time nor in rows per second; nor do pauses. A copied table has the times of its copying. How many machines "
    "there were is not recorded."
)


def section(contents: Contents) -> Markup:
    if not contents.runs:
        told = (
            f"Nothing is recorded: the last {wording.count(VERSIONS, 'version')} of the table hold no commit of rows."
        )
        return element("p", told, class_="soft")
    heads = ["input", "from", "commits", "rows", "at work", "rows per second"]
    heads += ["cost"] if contents.cost_per_hour is not None else []
    rows = [list(_cells(run, contents.cost_per_hour)) for run in contents.runs]
    parts = [table(heads, rows, texts=2)]
    seconds = sum(run.seconds for run in contents.runs)
    if not seconds:
        parts.append(element("p", "How long runs were at work is not recorded."))
    elif contents.cost_per_hour is None:
        parts.append(
            element("p", f"{wording.duration(seconds)} at work. With --cost-per-hour the page says what that cost.")
        )
    else:
        cost = seconds / 3600 * contents.cost_per_hour
        parts.append(
            element(
                "p",
                f"{wording.duration(seconds)} at work × {contents.cost_per_hour:,.2f} an hour = {cost:,.2f}, if all "
                "machines of a run together cost that.",
            )
        )
    return joined([*parts, element("p", _RECORD, class_="soft")])


def _cells(run: PastRun, cost_per_hour: float | None) -> Iterator[str]:
    inputs = run.settings.get("input")
    yield shortened(", ".join(map(str, inputs)) if isinstance(inputs, list) else "not recorded", 120)
    yield run.first.isoformat(sep=" ", timespec="minutes").removesuffix("+00:00")
    yield wording.count(run.commits)
    yield wording.count(run.rows)
    yield wording.duration(run.seconds) if run.seconds else "–"
    yield "–" if run.rows_per_second is None else f"{run.rows_per_second:,.1f}"
    if cost_per_hour is not None:
        yield f"{run.seconds / 3600 * cost_per_hour:,.2f}" if run.seconds else "–"

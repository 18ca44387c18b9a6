"""Prints how many schedules were explored, by pair and triple of actors."""

from __future__ import annotations

import pytest

COLUMNS = ("schedules", "random", "complete", "steps", "seconds")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = terminalreporter.getreports("passed")
    rows = [dict(report.user_properties) for report in reports if "schedules" in dict(report.user_properties)]
    if not rows:
        return
    terminalreporter.write_sep("-", "schedules explored")
    terminalreporter.write_line(f"{'actors':50}" + "".join(f"{name:>11}" for name in COLUMNS))
    for row in sorted(rows, key=lambda row: str(row["actors"])):
        terminalreporter.write_line(f"{row['actors']:50}" + "".join(f"{row[name]!s:>11}" for name in COLUMNS))
    schedules, seconds = (sum(float(row[name]) for row in rows) for name in ("schedules", "seconds"))
    terminalreporter.write_line(f"in all {schedules:.0f} schedules, {seconds:.0f} s of one process")

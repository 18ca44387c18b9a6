"""Formats numbers for readers."""

from __future__ import annotations

from pipeline.wording import noun


def count(number: int, what: str = "", plural: str | None = None) -> str:
    """`12,345 pairs`."""
    if not what:
        return f"{number:,}"
    return f"{number:,} {noun(number, what, plural)}"


def share(value: float) -> str:
    """`4.97 %`, with at most three digits. It never breaks across lines."""
    percent = 100 * value
    digits = 0 if percent >= 99.95 or percent == 0 else 1 if percent >= 10 else 2
    return f"{percent:.{digits}f}\N{NO-BREAK SPACE}%"


def span(low: float, high: float) -> str:
    """`3.89 % to 6.21 %`."""
    return f"{share(low)} to {share(high)}"


def tick(share: float) -> str:
    return f"{100 * share:.6g}\N{NO-BREAK SPACE}%"


def score(number: float) -> str:
    """Four digits for a fraction, so that the scores in a grid have equal length."""
    if isinstance(number, int):
        return f"{number:,}".replace("-", "−")
    return f"{number:#.4g}".replace("-", "−")


def value(number: float) -> str:
    """Four significant digits, and a true minus sign."""
    return f"{number:,.4g}".replace("-", "−") if abs(number) < 1e6 else f"{number:.3g}".replace("-", "−")


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"

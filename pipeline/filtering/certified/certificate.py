"""What is certified about a cut, for the summary and the manifest."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Certificate:
    """With this confidence, at most this fraction of the kept pairs is mismatched."""

    fraction: float
    confidence: float
    threshold: float
    labels: int
    """labels of kept pairs: the evidence"""
    wrong: int
    """of these, those labelled wrong"""
    unsure: int
    """of these, those labelled unsure"""
    unsure_as: str
    """`wrong`: they count as wrong; `left-out`: they are taken to be wrong as often as the others"""
    labels_given: int
    """labels in the file, of kept and other pairs"""
    mismatch_fraction: float
    """the estimate: the share of wrong labels, each weighted by the pairs it stands for"""
    draw: str | None
    """id of the draw; None for labels from elsewhere"""
    assumes: str | None
    """what is assumed and not known"""

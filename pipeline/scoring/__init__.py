"""Scoring: computes columns from a table's stored values, without a model: cosine, logit, probability and signals."""

from pipeline.scoring.fill import fill_signal, require_signals, score_table
from pipeline.scoring.target import Target, read_target

__all__ = ["Target", "fill_signal", "read_target", "require_signals", "score_table"]

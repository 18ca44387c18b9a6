"""Scoring: computes columns from a table's stored values, without a model: cosine, logit, probability and signals."""

from pipeline.scoring.chosen import Chosen, choose
from pipeline.scoring.fill import fill_signal, score_table
from pipeline.scoring.target import Target, read_target

__all__ = ["Chosen", "Target", "choose", "fill_signal", "read_target", "score_table"]

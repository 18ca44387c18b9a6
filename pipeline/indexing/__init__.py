"""Builds the indexes of a table, measures what they find, and keeps the table in shape."""

from pipeline.indexing.run import DEFAULT_RECALL, OnValues, index_table
from pipeline.indexing.vectors import OnVectors

__all__ = ["DEFAULT_RECALL", "OnValues", "OnVectors", "index_table"]

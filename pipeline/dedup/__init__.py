"""Deduplication: marks rows that have the same image as another row, in columns that a filter can use."""

from pipeline.dedup.run import Deduplicated, DedupOptions, dedup_table

__all__ = ["DedupOptions", "Deduplicated", "dedup_table"]

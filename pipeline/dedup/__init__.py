"""Deduplication: marks rows whose image another row has too, in columns that a filter can use."""

from pipeline.dedup.run import Deduplicated, DedupOptions, dedup_table

__all__ = ["DedupOptions", "Deduplicated", "dedup_table"]

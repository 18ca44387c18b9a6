"""Filtering: a query over stored scores. It leaves a folder with a manifest, whole, or nothing at all."""

from pipeline.filtering.artefact import MANIFEST, Filtered, filter_table
from pipeline.filtering.selection import Selection

__all__ = ["MANIFEST", "Filtered", "Selection", "filter_table"]
